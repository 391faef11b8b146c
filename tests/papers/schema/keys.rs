//! Key by key: what the schema says of it, and what the parser does.

use std::{collections::BTreeSet, path::Path, time::Duration};

use dialplane::config::{Config, parse_duration, show_duration};
use serde_json::{Value, json};

use super::{Schema, base, mistakes_at, put, toml_of, walk::walk};

/// Nothing that anybody could have meant.
const STRAY: &str = "qqqqqqqqqqqqqqqqqqqqqqqq";

#[test]
fn the_schema_and_the_parser_know_the_same_keys() {
    let schema = Schema::read();
    for table in walk().tables {
        let mut document = base();
        let place = [&table.path[..], &[STRAY.to_owned()]].concat();
        put(&mut document, &place, json!(1));
        assert!(schema.refuses(&document).is_some(), "{place:?} is taken by the schema");
        let told = mistakes_at(&document, &place).join("; ");
        let (_, known) = told
            .split_once("is not a key here; known are ")
            .unwrap_or_else(|| panic!("{place:?} is taken by the parser: {told:?}"));
        let known: BTreeSet<_> = known.split(", ").map(str::to_owned).collect();
        assert_eq!(table.keys, known, "{:?}", table.path);
    }
}

#[test]
fn what_has_the_wrong_type_is_refused_by_both() {
    let schema = Schema::read();
    for key in walk().keys {
        for wrong in [json!(1.5), json!([1.5])] {
            let mut document = base();
            put(&mut document, &key.path, wrong.clone());
            assert!(schema.refuses(&document).is_some(), "{:?} = {wrong} by the schema", key.path);
            assert!(!mistakes_at(&document, &key.path).is_empty(), "{:?} = {wrong}", key.path);
        }
    }
}

/// Whether both take it, or both refuse it.
fn agree(schema: &Schema, path: &[String], value: &Value, is_right: bool) {
    let mut document = base();
    put(&mut document, path, value.clone());
    let (by_schema, by_parser) = (schema.refuses(&document), mistakes_at(&document, path));
    assert_eq!(by_schema.is_none(), is_right, "{path:?} = {value} by the schema: {by_schema:?}");
    assert_eq!(by_parser.is_empty(), is_right, "{path:?} = {value}: {by_parser:?}");
}

#[test]
fn numbers_have_the_same_ends() {
    let (schema, mut seen) = (Schema::read(), 0);
    for key in walk().keys {
        for form in key.forms.iter().filter(|form| form["minimum"].is_i64()) {
            let (least, most) = (form["minimum"].as_i64().unwrap(), form["maximum"].as_i64());
            let most = most.unwrap();
            for (number, is_right) in
                [(least - 1, false), (least, true), (most, true), (most + 1, false)]
            {
                agree(&schema, &key.path, &json!(number), is_right);
            }
            seen += 1;
        }
    }
    assert!(seen > 20, "{seen}");
}

#[test]
fn times_have_the_same_form_and_the_ends_that_are_told() {
    let (schema, mut seen) = (Schema::read(), 0);
    for key in walk().keys {
        for form in key.forms.iter().filter(|form| form["x-range"].is_array()) {
            let [least, most] =
                [0, 1].map(|i| parse_duration(form["x-range"][i].as_str().unwrap()).unwrap());
            let told = format!("{} to {}.", show_duration(least), show_duration(most));
            let described = form["description"].as_str();
            assert!(described.is_none_or(|text| text.contains(&told)), "{:?}: {told}", key.path);
            for right in [least, most] {
                agree(&schema, &key.path, &json!(show_duration(right)), true);
            }
            for wrong in ["", "1", "1.5s", "1 s", "s", "-1s", "1m30s", "1w"] {
                agree(&schema, &key.path, &json!(wrong), false);
            }
            agree(&schema, &key.path, &json!(7), false);
            // That a text is a longer time than another is nothing that a schema could say.
            let over = most + Duration::from_millis(1);
            let under = least.checked_sub(Duration::from_millis(1));
            for wrong in under.into_iter().chain([over]) {
                let mut document = base();
                put(&mut document, &key.path, json!(show_duration(wrong)));
                assert!(!mistakes_at(&document, &key.path).is_empty(), "{:?}", key.path);
            }
            seen += 1;
        }
    }
    assert!(seen > 20, "{seen}");
}

#[test]
fn words_are_the_same() {
    let (schema, mut seen) = (Schema::read(), 0);
    for key in walk().keys {
        // A word that other keys have to go with.
        if ["lane", "kind"].contains(&key.path.last().unwrap().as_str()) {
            continue;
        }
        for form in key.forms.iter().filter(|form| form["enum"].is_array()) {
            for word in form["enum"].as_array().unwrap() {
                agree(&schema, &key.path, word, true);
            }
            agree(&schema, &key.path, &json!("nonsense"), false);
            seen += 1;
        }
    }
    assert!(seen > 8, "{seen}");
}

#[test]
fn what_is_told_to_be_the_default_is_what_is_there_without_the_key() {
    let read = |document: &Value| {
        let text = toml_of(document);
        Config::parse(&text, Path::new(env!("CARGO_MANIFEST_DIR")), &|_| Some("token".to_owned()))
    };
    let mut bare = base();
    for key in ["listen", "tls", "callbacks_tls", "admin_tls"] {
        bare["server"].as_object_mut().unwrap().remove(key);
    }
    let phonon = bare["vendors"]["phonon"].as_object_mut().unwrap();
    phonon.remove("encryption");
    phonon.insert("product".to_owned(), json!("multicast"));
    bare["vendors"]["knovvu"].as_object_mut().unwrap().remove("number_format");
    for kind in ["phonon", "mobtexting", "knovvu"] {
        bare["vendors"][kind].as_object_mut().unwrap().remove("timeout");
    }
    for table in ["breaker", "batch"] {
        bare["vendors"]["phonon"].as_object_mut().unwrap().remove(table);
    }
    // Sections of keys, all of which have a default, may be left out as a whole.
    let plain = format!("{:?}", read(&bare).unwrap());
    let mut seen = 0;
    for key in walk().keys {
        let (Some(default), name) = (key.default, key.path.last().unwrap().as_str()) else {
            continue;
        };
        // Of a socket alone, or of a table that is not there.
        if ["socket_mode", "padding"].contains(&name) {
            continue;
        }
        let mut document = bare.clone();
        put(&mut document, &key.path, default.clone());
        let told = read(&document).unwrap_or_else(|e| panic!("{:?} = {default}: {e}", key.path));
        assert_eq!(format!("{told:?}"), plain, "{:?} = {default}", key.path);
        seen += 1;
    }
    assert!(seen > 60, "{seen}");
}
