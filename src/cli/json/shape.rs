//! What messages are made of, by the API's descriptors.

use std::collections::HashMap;

use prost_types::{
    DescriptorProto, EnumDescriptorProto, FieldDescriptorProto, MessageOptions,
    field_descriptor_proto::{Label, Type},
};

use super::wire::Raw;
use crate::api::descriptors;

/// A message.
pub(super) struct Shape {
    pub fields: Vec<Field>,
    pub is_map_entry: bool,
}

/// A field of one.
pub(super) struct Field {
    pub number: u32,
    /// In lowerCamelCase.
    pub name: String,
    pub kind: Kind,
    pub is_repeated: bool,
}

/// What its values are. The API has no others.
pub(super) enum Kind {
    Message(String),
    Enum(String),
    Text,
    Bytes,
    Bool,
    Int32,
    Uint32,
    Int64,
    Uint64,
    Double,
    /// None that the API has.
    Other,
}

impl Kind {
    pub(super) fn is_packable(&self) -> bool {
        !matches!(self, Self::Message(_) | Self::Text | Self::Bytes)
    }

    /// What is meant when there is nothing on the wire.
    pub(super) fn nothing(&self) -> Raw<'static> {
        if self.is_packable() { Raw::Number(0) } else { Raw::Bytes(&[]) }
    }
}

/// All of them, by their full names.
#[derive(Default)]
pub(super) struct Shapes {
    messages: HashMap<String, Shape>,
    enums: HashMap<String, HashMap<i32, String>>,
}

impl Shapes {
    pub(super) fn of_the_api() -> Self {
        let mut shapes = Self::default();
        // They were compiled in.
        for file in descriptors().unwrap_or_default().file {
            let package = file.package().to_owned();
            shapes.enums(&package, &file.enum_type);
            shapes.messages(&package, file.message_type);
        }
        shapes
    }

    pub(super) fn message(&self, name: &str) -> Option<&Shape> {
        self.messages.get(name)
    }

    pub(super) fn value_name(&self, name: &str, value: u64) -> Option<&str> {
        let value = i32::try_from(value as i64).ok()?;
        self.enums.get(name)?.get(&value).map(String::as_str)
    }

    fn messages(&mut self, within: &str, messages: Vec<DescriptorProto>) {
        for message in messages {
            let name = format!("{within}.{}", message.name());
            self.enums(&name, &message.enum_type);
            let shape = Shape {
                fields: message.field.iter().map(field).collect(),
                is_map_entry: message.options.as_ref().is_some_and(MessageOptions::map_entry),
            };
            self.messages(&name, message.nested_type);
            self.messages.insert(name, shape);
        }
    }

    fn enums(&mut self, within: &str, enums: &[EnumDescriptorProto]) {
        for one in enums {
            let values = one.value.iter().map(|value| (value.number(), value.name().to_owned()));
            self.enums.insert(format!("{within}.{}", one.name()), values.collect());
        }
    }
}

fn field(field: &FieldDescriptorProto) -> Field {
    let type_name = || field.type_name().trim_start_matches('.').to_owned();
    let kind = match field.r#type() {
        Type::Message => Kind::Message(type_name()),
        Type::Enum => Kind::Enum(type_name()),
        Type::String => Kind::Text,
        Type::Bytes => Kind::Bytes,
        Type::Bool => Kind::Bool,
        Type::Int32 => Kind::Int32,
        Type::Uint32 => Kind::Uint32,
        Type::Int64 => Kind::Int64,
        Type::Uint64 => Kind::Uint64,
        Type::Double => Kind::Double,
        _ => Kind::Other,
    };
    Field {
        number: field.number().unsigned_abs(),
        name: camel(field.name()),
        kind,
        is_repeated: field.label() == Label::Repeated,
    }
}

/// `call_id` as `callId`.
fn camel(name: &str) -> String {
    let mut camel = String::new();
    let mut is_next_upper = false;
    for c in name.chars() {
        match c {
            '_' => is_next_upper = true,
            c if std::mem::replace(&mut is_next_upper, false) => camel.push(c.to_ascii_uppercase()),
            c => camel.push(c),
        }
    }
    camel
}
