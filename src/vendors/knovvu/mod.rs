use super::{Registration, Vendor};
use crate::config::Section;
use std::sync::Arc;
pub const REGISTRATION: Registration = Registration { kind: "knovvu", build };
fn build(_section: &mut Section<'_>) -> Option<Arc<dyn Vendor>> {
    None
}
