//! Every key that the schema has, and where.

use std::collections::BTreeSet;

use serde_json::Value;

use super::SCHEMA;

/// A key, and all that the schema lets it be.
pub struct Key {
    pub path: Vec<String>,
    pub forms: Vec<Value>,
    pub default: Option<Value>,
}

/// A table, and the keys in it.
pub struct Table {
    pub path: Vec<String>,
    pub keys: BTreeSet<String>,
}

pub struct Walk {
    schema: Value,
    pub keys: Vec<Key>,
    pub tables: Vec<Table>,
}

/// Of all keys and tables.
pub fn walk() -> Walk {
    let schema: Value = serde_json::from_str(SCHEMA).unwrap();
    let mut walk = Walk { schema: schema.clone(), keys: Vec::new(), tables: Vec::new() };
    walk.table(&[], &walk.forms(&schema));
    assert!(walk.keys.len() > 100 && walk.tables.len() > 30);
    walk
}

impl Walk {
    /// What a value may be: references followed, and alternatives one by one.
    fn forms(&self, node: &Value) -> Vec<Value> {
        if let Some(name) = node["$ref"].as_str() {
            let name = name.strip_prefix("#/definitions/").unwrap();
            let definition = &self.schema["definitions"][name];
            assert!(definition.is_object(), "there is no {name}");
            return self.forms(definition);
        }
        // Of a vendor: all that it may be, each by its kind.
        if node["then"].is_object() {
            return self.forms(&node["then"]);
        }
        for key in ["allOf", "anyOf", "oneOf"] {
            // Others only say which keys have to be there.
            let forms = node[key].as_array().filter(|forms| forms[0].get("required").is_none());
            if let Some(forms) = forms {
                return forms.iter().flat_map(|form| self.forms(form)).collect();
            }
        }
        vec![node.clone()]
    }

    fn table(&mut self, path: &[String], forms: &[Value]) {
        let tables: Vec<_> = forms.iter().filter(|form| form["type"] == "object").collect();
        let named = tables.iter().find_map(|form| form["patternProperties"].as_object());
        if let Some(named) = named {
            let node = named.values().next().unwrap();
            for form in self.forms(node) {
                let kind = form["properties"]["kind"]["enum"][0].as_str();
                let name = match path[0].as_str() {
                    "routes" => "default",
                    "callers" => "someone",
                    _ => kind.unwrap(),
                };
                self.table(&[path, &[name.to_owned()]].concat(), &[form]);
            }
            return;
        }
        let mut keys = BTreeSet::new();
        for form in tables {
            assert_eq!(form["additionalProperties"], false, "{path:?}");
            for (key, node) in form["properties"].as_object().unwrap() {
                keys.insert(key.clone());
                let path = [path, std::slice::from_ref(key)].concat();
                let forms = self.forms(node);
                self.table(&path, &forms);
                let default = [node, &forms[0]].iter().find_map(|n| n.get("default")).cloned();
                let described = [node]
                    .into_iter()
                    .chain(&forms)
                    .any(|n| n["description"].as_str().is_some_and(|text| !text.is_empty()));
                let is_named = node.get("$ref").is_some();
                assert!(described || is_named, "{path:?} has no description");
                self.keys.push(Key { path, forms, default });
            }
        }
        if !keys.is_empty() {
            self.tables.push(Table { path: path.to_vec(), keys });
        }
    }
}

#[test]
fn a_vendor_of_any_kind_has_the_keys_of_all_kinds() {
    let schema: Value = serde_json::from_str(SCHEMA).unwrap();
    let definitions = &schema["definitions"];
    let keys = |name: &str| -> BTreeSet<String> {
        definitions[name]["properties"].as_object().unwrap().keys().cloned().collect()
    };
    let kinds = &definitions["vendor"]["properties"]["kind"]["enum"];
    let kinds = kinds.as_array().unwrap().iter().map(|kind| kind.as_str().unwrap());
    let kinds: Vec<_> = kinds.collect();
    let of_kinds: BTreeSet<_> = kinds.iter().flat_map(|kind| keys(kind)).collect();
    assert_eq!(keys("vendor"), of_kinds);
    let known: Vec<_> = dialplane::vendors::REGISTRY.iter().map(|entry| entry.kind).collect();
    assert_eq!(kinds, known);
    assert_eq!(definitions["vendor"]["allOf"].as_array().unwrap().len(), known.len());
}
