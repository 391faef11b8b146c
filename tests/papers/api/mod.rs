//! docs/api.md is made of the comments in `proto/`. After a change there:
//!
//! ```sh
//! DIALPLANE_WRITE=1 cargo test --test papers api
//! ```

use std::{env, fs, path::Path};

mod page;
mod prose;
mod shape;

#[test]
fn the_reference_is_what_the_protos_say() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/api.md");
    let made = page::page(&shape::Api::read());
    if env::var_os("DIALPLANE_WRITE").is_some() {
        fs::write(&path, &made).unwrap();
    }
    let written = fs::read_to_string(&path).unwrap_or_default();
    let line = made.lines().zip(written.lines()).position(|(made, written)| made != written);
    assert!(
        made == written,
        "docs/api.md is not what proto/ says, from line {} on; write it anew with\n\
         DIALPLANE_WRITE=1 cargo test --test papers api",
        line.unwrap_or_else(|| made.lines().count().min(written.lines().count())) + 1,
    );
}

#[test]
fn everything_has_a_comment() {
    let api = shape::Api::read();
    let mut bare = Vec::new();
    for service in &api.services {
        bare.extend(service.comment.is_empty().then(|| service.name.clone()));
        let rpcs = service.rpcs.iter().filter(|rpc| rpc.comment.is_empty());
        bare.extend(rpcs.map(|rpc| format!("{}.{}", service.name, rpc.name)));
    }
    for kind in &api.types {
        bare.extend(kind.comment.is_empty().then(|| kind.name.clone()));
        let members = kind.members.iter().filter(|member| member.comment.is_empty());
        bare.extend(members.map(|member| format!("{}.{}", kind.name, member.name)));
    }
    assert_eq!(bare, [""; 0]);
    assert!(api.services.len() == 2 && api.types.len() > 20);
}
