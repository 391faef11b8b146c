//! What the API has, with its comments, in the order in which people read it.

use std::collections::HashMap;

use dialplane::proto::DESCRIPTORS;
use prost::Message;
use prost_types::{
    DescriptorProto, EnumDescriptorProto, FieldDescriptorProto, FileDescriptorProto,
    FileDescriptorSet, MessageOptions, ServiceDescriptorProto,
    field_descriptor_proto::{Label, Type},
};

/// The files, as they are read: what is asked, then what comes back.
const FILES: [&str; 4] = ["call_service", "call", "vendor", "suppression_service"];
/// Numbers of the parts of a file, for the places of comments (descriptor.proto).
const MESSAGE: i32 = 4;
const ENUM: i32 = 5;
const SERVICE: i32 = 6;
const FIELD_OR_VALUE_OR_METHOD: i32 = 2;
const ONEOF: i32 = 8;

pub struct Api {
    pub services: Vec<Service>,
    pub types: Vec<Kind>,
}

pub struct Service {
    pub name: String,
    pub comment: String,
    pub rpcs: Vec<Rpc>,
}

pub struct Rpc {
    pub name: String,
    pub comment: String,
    pub input: String,
    pub output: String,
    pub is_stream: bool,
}

/// A message, or an enum.
pub struct Kind {
    pub name: String,
    pub comment: String,
    pub is_enum: bool,
    pub members: Vec<Member>,
}

/// A field, or a value.
pub struct Member {
    pub name: String,
    pub number: i32,
    pub comment: String,
    /// Of a field: what stands before the type, and the type's full name.
    pub kind: Option<(&'static str, String)>,
    /// Of a field that is one of several: their name, and their comment.
    pub oneof: Option<(String, String)>,
}

struct File {
    comments: HashMap<Vec<i32>, String>,
}

impl Api {
    pub fn read() -> Self {
        let set = FileDescriptorSet::decode(DESCRIPTORS).unwrap();
        let mut api = Self { services: Vec::new(), types: Vec::new() };
        let ours = set.file.iter().filter(|file| file.package() == "dialplane.v1");
        assert_eq!(ours.count(), FILES.len(), "a file is not in the reference");
        for name in FILES {
            let name = format!("dialplane/v1/{name}.proto");
            let proto = set.file.iter().find(|file| file.name() == name).unwrap();
            let file = File { comments: comments(proto) };
            for (i, service) in (0..).zip(&proto.service) {
                api.services.push(file.service(i, service));
            }
            for (i, message) in (0..).zip(&proto.message_type) {
                api.types.push(file.message(i, message));
            }
            for (i, found) in (0..).zip(&proto.enum_type) {
                api.types.push(file.enumeration(i, found));
            }
        }
        api
    }
}

fn comments(file: &FileDescriptorProto) -> HashMap<Vec<i32>, String> {
    let locations = file.source_code_info.as_ref().map_or(&[][..], |info| &info.location);
    let found = locations.iter().map(|l| (l.path.clone(), l.leading_comments().to_owned()));
    found.filter(|(_, comment)| !comment.is_empty()).collect()
}

impl File {
    fn comment(&self, path: &[i32]) -> String {
        self.comments.get(path).cloned().unwrap_or_default()
    }

    fn service(&self, i: i32, service: &ServiceDescriptorProto) -> Service {
        let rpcs = (0..).zip(&service.method).map(|(j, method)| Rpc {
            name: method.name().to_owned(),
            comment: self.comment(&[SERVICE, i, FIELD_OR_VALUE_OR_METHOD, j]),
            input: method.input_type().trim_start_matches('.').to_owned(),
            output: method.output_type().trim_start_matches('.').to_owned(),
            is_stream: method.server_streaming(),
        });
        Service {
            name: service.name().to_owned(),
            comment: self.comment(&[SERVICE, i]),
            rpcs: rpcs.collect(),
        }
    }

    fn message(&self, i: i32, message: &DescriptorProto) -> Kind {
        let members = (0..).zip(&message.field).map(|(j, field)| {
            // What is optional is one of one.
            let oneof = field.oneof_index.filter(|_| !field.proto3_optional()).map(|k| {
                let name = message.oneof_decl[usize::try_from(k).unwrap()].name();
                (name.to_owned(), self.comment(&[MESSAGE, i, ONEOF, k]))
            });
            Member {
                name: field.name().to_owned(),
                number: field.number(),
                comment: self.comment(&[MESSAGE, i, FIELD_OR_VALUE_OR_METHOD, j]),
                kind: Some(kind_of(message, field)),
                oneof,
            }
        });
        let nested = message.nested_type.iter().filter(|nested| !is_map_entry(nested));
        assert_eq!(nested.count() + message.enum_type.len(), 0, "nested types are not written");
        Kind {
            name: message.name().to_owned(),
            comment: self.comment(&[MESSAGE, i]),
            is_enum: false,
            members: members.collect(),
        }
    }

    fn enumeration(&self, i: i32, found: &EnumDescriptorProto) -> Kind {
        let members = (0..).zip(&found.value).map(|(j, value)| Member {
            name: value.name().to_owned(),
            number: value.number(),
            comment: self.comment(&[ENUM, i, FIELD_OR_VALUE_OR_METHOD, j]),
            kind: None,
            oneof: None,
        });
        Kind {
            name: found.name().to_owned(),
            comment: self.comment(&[ENUM, i]),
            is_enum: true,
            members: members.collect(),
        }
    }
}

fn is_map_entry(message: &DescriptorProto) -> bool {
    message.options.as_ref().is_some_and(MessageOptions::map_entry)
}

fn kind_of(message: &DescriptorProto, field: &FieldDescriptorProto) -> (&'static str, String) {
    let entry = message.nested_type.iter().find(|nested| {
        is_map_entry(nested) && field.type_name().ends_with(&format!(".{}", nested.name()))
    });
    if let Some(entry) = entry {
        let [key, value] = [0, 1].map(|i| kind_of(entry, &entry.field[i]).1);
        return ("", format!("map<{key}, {value}>"));
    }
    let label = match field.label() {
        Label::Repeated => "repeated ",
        _ if field.proto3_optional() => "optional ",
        _ => "",
    };
    let kind = match field.r#type() {
        Type::Message | Type::Enum => field.type_name().trim_start_matches('.').to_owned(),
        scalar => scalar.as_str_name().trim_start_matches("TYPE_").to_lowercase(),
    };
    (label, kind)
}
