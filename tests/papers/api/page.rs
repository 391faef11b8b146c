//! The page.

use std::fmt::Write as _;

use super::{
    prose::{Names, anchor},
    shape::{Api, Kind, Member, Service},
};

const HEAD: &str = "\
<!-- Made from the comments in proto/ by `DIALPLANE_WRITE=1 cargo test --test papers api`. -->

# The API

Package `dialplane.v1`, in the files of [proto/](../proto), which say the same as this page.
[What you can rely on](guarantees.md) tells how its RPCs are used so that nobody is called twice, and
[errors](errors.md) what their codes and reasons mean.
";

pub fn page(api: &Api) -> String {
    let names = Names::of(api);
    let mut out = HEAD.to_owned();
    out.push_str("\n| RPC | takes | gives |\n|---|---|---|\n");
    for service in &api.services {
        for rpc in &service.rpcs {
            let stream = if rpc.is_stream { "stream of " } else { "" };
            let _ = writeln!(
                out,
                "| [{}.{}]({}) | {} | {stream}{} |",
                service.name,
                rpc.name,
                anchor(&rpc.name),
                linked(&rpc.input),
                linked(&rpc.output),
            );
        }
    }
    let types = |is_enum: bool| {
        let kinds = api.types.iter().filter(move |kind| kind.is_enum == is_enum);
        kinds.map(|kind| format!("[{}]({})", kind.name, anchor(&kind.name))).collect::<Vec<_>>()
    };
    let _ = write!(out, "\nMessages: {}.\n", types(false).join(", "));
    let _ = write!(out, "\nEnums: {}.\n", types(true).join(", "));
    for service in &api.services {
        write_service(&names, service, &mut out);
    }
    for (heading, is_enum) in [("Messages", false), ("Enums", true)] {
        let _ = write!(out, "\n## {heading}\n");
        for kind in api.types.iter().filter(|kind| kind.is_enum == is_enum) {
            write_kind(&names, kind, &mut out);
        }
    }
    out
}

fn write_service(names: &Names, service: &Service, out: &mut String) {
    let _ = write!(out, "\n## {}\n", service.name);
    write_prose(names, &service.comment, out);
    for rpc in &service.rpcs {
        let stream = if rpc.is_stream { "stream of " } else { "" };
        let (input, output) = (linked(&rpc.input), linked(&rpc.output));
        let _ = write!(out, "\n### {}\n\nTakes {input}, gives {stream}{output}.\n", rpc.name);
        write_prose(names, &rpc.comment, out);
    }
}

fn write_prose(names: &Names, comment: &str, out: &mut String) {
    for paragraph in names.paragraphs(comment) {
        let _ = write!(out, "\n{paragraph}\n");
    }
}

fn write_kind(names: &Names, kind: &Kind, out: &mut String) {
    let _ = write!(out, "\n### {}\n", kind.name);
    write_prose(names, &kind.comment, out);
    if kind.members.is_empty() {
        out.push_str("\nIt has no fields.\n");
        return;
    }
    let head = if kind.is_enum { "value | | " } else { "field | | type | " };
    let rule = "---|".repeat(head.matches('|').count() + 1);
    let _ = write!(out, "\n| {head}|\n|{rule}\n");
    let mut last_oneof = None;
    for member in &kind.members {
        let said = names.paragraphs(&member.comment).join("<br><br>");
        let oneof = member.oneof.as_ref();
        // What is said of all of them stands at the first.
        let of_all = match oneof {
            Some((name, comment)) if last_oneof != Some(name) => {
                format!("{} ", names.paragraphs(comment).join(" "))
            }
            _ => String::new(),
        };
        last_oneof = oneof.map(|(name, _)| name);
        let (place, number) = (place(kind, member), member.number);
        let _ = match &member.kind {
            None => writeln!(out, "| {place} | {number} | {said} |"),
            Some((label, name)) => {
                let one = oneof.map(|(name, _)| format!(", one of `{name}`")).unwrap_or_default();
                let (name, of_all) = (linked(name), of_all.replace('\n', " "));
                writeln!(out, "| {place} | {number} | {label}{name}{one} | {of_all}{said} |")
            }
        };
    }
}

/// A name that can be pointed at.
fn place(kind: &Kind, member: &Member) -> String {
    let (kind, name) = (kind.name.to_lowercase(), &member.name);
    format!("<a id=\"{kind}.{}\"></a>`{name}`", name.to_lowercase())
}

/// A type, with a link to where it is described.
fn linked(name: &str) -> String {
    if let Some(own) = name.strip_prefix("dialplane.v1.") {
        return format!("[{own}]({})", anchor(own));
    }
    if let Some(known) = name.strip_prefix("google.protobuf.") {
        let known_at = "https://protobuf.dev/reference/protobuf/google.protobuf/#";
        return format!("[{known}]({known_at}{})", known.to_lowercase());
    }
    if name == "google.rpc.Status" {
        return format!("[{name}](https://google.aip.dev/193)");
    }
    format!("`{name}`")
}
