//! What the API consists of, for clients that ask the server. Hardly any does, and telling
//! it takes memory: the descriptors are read for the first one.
//!
//! tonic-reflection has the protocol's messages, and a service that ends the stream at the first
//! symbol it does not know. The protocol has an answer for that, after which clients go on to
//! ask: so the service here is our own.

use std::{
    collections::BTreeMap,
    convert::Infallible,
    sync::{Arc, OnceLock},
    task::{Context, Poll},
};

use futures_util::stream::{BoxStream, StreamExt};
use prost::{DecodeError, Message};
use prost_types::{
    DescriptorProto, EnumDescriptorProto, FieldDescriptorProto, FileDescriptorProto,
    OneofDescriptorProto,
};
use tonic::{
    Code, Request, Response, Status, Streaming,
    body::Body,
    codegen::{BoxFuture, Service, http},
    server::NamedService,
};
use tonic_reflection::pb::v1::{
    ErrorResponse, ExtensionNumberResponse, FileDescriptorResponse, ListServiceResponse,
    ServerReflectionRequest, ServerReflectionResponse, ServiceResponse,
    server_reflection_request::MessageRequest,
    server_reflection_response::MessageResponse,
    server_reflection_server::{ServerReflection, ServerReflectionServer},
};

use super::descriptors::descriptors;

/// The longest question: names are shorter.
const MAX_QUESTION_BYTES: usize = 64 * 1024;

/// Reflection, in version `v1` or the one before that, `v1alpha`.
#[derive(Debug, Clone)]
pub(super) struct Reflection<const ALPHA: bool>(Arc<OnceLock<Server>>);

type Server = ServerReflectionServer<Index>;

/// Both versions: clients know one or the other.
pub(super) fn both() -> (Reflection<false>, Reflection<true>) {
    let server = Arc::default();
    (Reflection(Arc::clone(&server)), Reflection(server))
}

impl NamedService for Reflection<false> {
    const NAME: &'static str = "grpc.reflection.v1.ServerReflection";
}

impl NamedService for Reflection<true> {
    const NAME: &'static str = "grpc.reflection.v1alpha.ServerReflection";
}

impl<const ALPHA: bool> Service<http::Request<Body>> for Reflection<ALPHA> {
    type Response = http::Response<Body>;
    type Error = Infallible;
    type Future = BoxFuture<Self::Response, Infallible>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, mut request: http::Request<Body>) -> Self::Future {
        if ALPHA {
            // On the wire the two versions are one, but for this name.
            let path = request.uri().path().replacen(".v1alpha.", ".v1.", 1);
            if let Ok(uri) = path.parse() {
                *request.uri_mut() = uri;
            }
        }
        let server = self.0.get_or_init(|| {
            let index = Index::new().unwrap_or_else(|error| {
                // The descriptors are a part of the binary: a test would have failed.
                tracing::error!(%error, "reflection can't be set up");
                Index::default()
            });
            ServerReflectionServer::new(index).max_decoding_message_size(MAX_QUESTION_BYTES)
        });
        server.clone().call(request)
    }
}

/// Where everything is described.
#[derive(Debug, Clone, Default)]
struct Index(Arc<Names>);

#[derive(Debug, Default)]
struct Names {
    /// Descriptors, encoded, by the file's name.
    files: BTreeMap<String, Vec<u8>>,
    /// Names of files, by what is in them: full names, without a dot in front.
    symbols: BTreeMap<String, Arc<str>>,
    messages: Vec<String>,
    services: Vec<String>,
}

impl Index {
    fn new() -> Result<Self, DecodeError> {
        let mut names = Names::default();
        for file in descriptors()?.file {
            names.add(&file);
        }
        names.services.sort_unstable();
        Ok(Self(Arc::new(names)))
    }
}

impl Names {
    fn add(&mut self, file: &FileDescriptorProto) {
        let (name, package) = (Arc::from(file.name()), file.package());
        self.files.insert(file.name().to_owned(), file.encode_to_vec());
        self.messages(&name, package, &file.message_type);
        self.enums(&name, package, &file.enum_type);
        for service in &file.service {
            let full = within(package, service.name());
            for method in &service.method {
                self.symbols.insert(within(&full, method.name()), Arc::clone(&name));
            }
            self.symbols.insert(full.clone(), Arc::clone(&name));
            self.services.push(full);
        }
    }

    fn messages(&mut self, file: &Arc<str>, scope: &str, messages: &[DescriptorProto]) {
        for message in messages {
            let full = within(scope, message.name());
            let fields = message.field.iter().map(FieldDescriptorProto::name);
            for name in fields.chain(message.oneof_decl.iter().map(OneofDescriptorProto::name)) {
                self.symbols.insert(within(&full, name), Arc::clone(file));
            }
            self.messages(file, &full, &message.nested_type);
            self.enums(file, &full, &message.enum_type);
            self.symbols.insert(full.clone(), Arc::clone(file));
            self.messages.push(full);
        }
    }

    fn enums(&mut self, file: &Arc<str>, scope: &str, enums: &[EnumDescriptorProto]) {
        for found in enums {
            let full = within(scope, found.name());
            for value in &found.value {
                // In protobuf a value stands beside its enum; many look for it within.
                self.symbols.insert(within(scope, value.name()), Arc::clone(file));
                self.symbols.insert(within(&full, value.name()), Arc::clone(file));
            }
            self.symbols.insert(full, Arc::clone(file));
        }
    }

    fn file(&self, name: &str) -> Option<MessageResponse> {
        let bytes = self.files.get(name)?.clone();
        Some(MessageResponse::FileDescriptorResponse(FileDescriptorResponse {
            file_descriptor_proto: vec![bytes],
        }))
    }

    fn answer(&self, question: Option<&MessageRequest>) -> MessageResponse {
        let found = match question {
            None => return refused(Code::InvalidArgument, "nothing is asked"),
            Some(MessageRequest::FileByFilename(name)) => self.file(name),
            Some(MessageRequest::FileContainingSymbol(name)) => {
                self.symbols.get(name.trim_start_matches('.')).and_then(|name| self.file(name))
            }
            // The API is in proto3, where messages have no extensions.
            Some(MessageRequest::FileContainingExtension(_)) => None,
            Some(MessageRequest::AllExtensionNumbersOfType(name)) => {
                self.messages.iter().find(|known| *known == name).map(|name| {
                    MessageResponse::AllExtensionNumbersResponse(ExtensionNumberResponse {
                        base_type_name: name.clone(),
                        extension_number: Vec::new(),
                    })
                })
            }
            Some(MessageRequest::ListServices(_)) => {
                let service = self.services.iter();
                let service = service.map(|name| ServiceResponse { name: name.clone() }).collect();
                Some(MessageResponse::ListServicesResponse(ListServiceResponse { service }))
            }
        };
        found.unwrap_or_else(|| refused(Code::NotFound, "there is no such thing here"))
    }
}

fn within(scope: &str, name: &str) -> String {
    if scope.is_empty() { name.to_owned() } else { format!("{scope}.{name}") }
}

fn refused(code: Code, message: &str) -> MessageResponse {
    let (error_code, error_message) = (code as i32, message.to_owned());
    MessageResponse::ErrorResponse(ErrorResponse { error_code, error_message })
}

#[tonic::async_trait]
impl ServerReflection for Index {
    type ServerReflectionInfoStream = BoxStream<'static, Result<ServerReflectionResponse, Status>>;

    async fn server_reflection_info(
        &self,
        request: Request<Streaming<ServerReflectionRequest>>,
    ) -> Result<Response<Self::ServerReflectionInfoStream>, Status> {
        let names = Arc::clone(&self.0);
        let answers = request.into_inner().map(move |question| {
            question.map(|question| ServerReflectionResponse {
                valid_host: question.host.clone(),
                message_response: Some(names.answer(question.message_request.as_ref())),
                original_request: Some(question),
            })
        });
        Ok(Response::new(answers.boxed()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn code(answer: &MessageResponse) -> Option<Code> {
        match answer {
            MessageResponse::ErrorResponse(error) => Some(Code::from(error.error_code)),
            _ => None,
        }
    }

    #[test]
    fn what_is_there_is_told_and_what_is_not_is_an_answer() {
        let Index(names) = Index::new().unwrap();
        let symbol = |name: &str| MessageRequest::FileContainingSymbol(name.to_owned());
        let numbers = |name: &str| MessageRequest::AllExtensionNumbersOfType(name.to_owned());
        for (question, expected) in [
            (symbol("dialplane.v1.CallService"), None),
            (symbol("dialplane.v1.CallService.CreateCalls"), None),
            (symbol("dialplane.v1.Call.call_id"), None),
            (symbol("dialplane.v1.CallSpec.script"), None),
            (symbol("dialplane.v1.CALL_STATE_BUSY"), None),
            (symbol("google.rpc.QuotaFailure.Violation"), None),
            (symbol(".google.rpc.ErrorInfo"), None),
            (symbol("grpc.reflection.v1alpha.ServerReflection"), None),
            (MessageRequest::FileByFilename("google/rpc/status.proto".to_owned()), None),
            (numbers("dialplane.v1.Call"), None),
            (numbers("dialplane.v1.CallState"), Some(Code::NotFound)),
            (symbol("dialplane.v1.Nobody"), Some(Code::NotFound)),
            (symbol(""), Some(Code::NotFound)),
            (MessageRequest::FileByFilename("no.proto".to_owned()), Some(Code::NotFound)),
        ] {
            assert_eq!(code(&names.answer(Some(&question))), expected, "{question:?}");
        }
        assert_eq!(code(&names.answer(None)), Some(Code::InvalidArgument));
    }
}
