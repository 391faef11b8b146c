//! Log lines: levels by module, as text or JSON, each with the trace it belongs to.

use std::{
    cell::RefCell,
    env, fmt,
    io::{self, IsTerminal},
};

use tracing::{Event, Subscriber};
use tracing_subscriber::{
    filter::{LevelFilter, Targets},
    fmt::{
        FmtContext, FormatEvent, FormatFields, fmt as lines_of,
        format::{Format, Full, Json, JsonFields, Writer},
    },
    layer::SubscriberExt,
    registry::LookupSpan,
    util::SubscriberInitExt,
};

use super::{Lines, Trace};

/// How log lines look.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum LogFormat {
    /// For people.
    Text,
    /// One JSON object a line, for programs.
    Json,
}

/// Starts logging to the standard error stream. `RUST_LOG` chooses levels by module
/// (`info,dialplane::gateway=debug`); without it, `default` holds.
pub(super) fn start(format: LogFormat, default: LevelFilter) -> Option<Lines> {
    // Not the filter that knows spans and fields too: it brings regular expressions along,
    // and nobody makes a span here.
    let levels = env::var("RUST_LOG").ok().and_then(|text| read(&text));
    let levels = levels.unwrap_or_else(|| Targets::new().with_default(default));
    let writer = Lines::start(io::stderr()).ok();
    // A line that can't be written is lost. Reporting that, to the same stream, would panic in
    // whatever logs, just when a disk is full or a reader has gone.
    let lines = lines_of().with_max_level(LevelFilter::TRACE).log_internal_errors(false);
    let ansi = io::stderr().is_terminal();
    // Refused only where a subscriber is there already, which is as good.
    let _ = match (format, writer.clone()) {
        (LogFormat::Text, Some(writer)) => {
            let lines = lines.with_writer(writer).event_format(TextLines::new(ansi));
            lines.finish().with(levels).try_init()
        }
        (LogFormat::Text, None) => {
            let lines = lines.with_writer(io::stderr).event_format(TextLines::new(ansi));
            lines.finish().with(levels).try_init()
        }
        (LogFormat::Json, Some(writer)) => {
            let lines = lines.with_writer(writer).fmt_fields(JsonFields::new());
            lines.event_format(JsonLines::default()).finish().with(levels).try_init()
        }
        (LogFormat::Json, None) => {
            let lines = lines.with_writer(io::stderr).fmt_fields(JsonFields::new());
            lines.event_format(JsonLines::default()).finish().with(levels).try_init()
        }
    };
    writer
}

/// Levels by module; none if it can't be read, or says nothing.
fn read(text: &str) -> Option<Targets> {
    let levels: Targets = text.parse().ok()?;
    text.split(',').any(|one| !one.trim().is_empty()).then_some(levels)
}

/// Lines of text, with `trace_id` and `span_id` at their end.
#[derive(Debug)]
pub struct TextLines(Format<Full>);

impl TextLines {
    /// Coloured, or not.
    pub fn new(ansi: bool) -> Self {
        Self(Format::default().with_ansi(ansi))
    }
}

/// JSON objects, with `trace_id` and `span_id` among their fields.
#[derive(Debug)]
pub struct JsonLines(Format<Json>);

impl Default for JsonLines {
    fn default() -> Self {
        Self(Format::default().json().flatten_event(true))
    }
}

impl<S, N> FormatEvent<S, N> for TextLines
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    N: for<'a> FormatFields<'a> + 'static,
{
    fn format_event(
        &self,
        context: &FmtContext<'_, S, N>,
        writer: Writer<'_>,
        event: &Event<'_>,
    ) -> fmt::Result {
        let whole = |writer: Writer<'_>| self.0.format_event(context, writer, event);
        in_trace(writer, whole, "\n", |trace, writer| {
            write!(writer, " trace_id={}", trace.id())?;
            trace.span().map_or(Ok(()), |span| write!(writer, " span_id={span}"))
        })
    }
}

impl<S, N> FormatEvent<S, N> for JsonLines
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    N: for<'a> FormatFields<'a> + 'static,
{
    fn format_event(
        &self,
        context: &FmtContext<'_, S, N>,
        writer: Writer<'_>,
        event: &Event<'_>,
    ) -> fmt::Result {
        let whole = |writer: Writer<'_>| self.0.format_event(context, writer, event);
        in_trace(writer, whole, "}\n", |trace, writer| {
            write!(writer, ",\"trace_id\":\"{}\"", trace.id())?;
            trace.span().map_or(Ok(()), |span| write!(writer, ",\"span_id\":\"{span}\""))
        })
    }
}

thread_local! {
    static LINE: RefCell<String> = const { RefCell::new(String::new()) };
}

/// Writes a line with what is added before its end, if it belongs to a trace.
fn in_trace(
    mut writer: Writer<'_>,
    whole: impl FnOnce(Writer<'_>) -> fmt::Result,
    end: &str,
    add: impl FnOnce(&Trace, &mut Writer<'_>) -> fmt::Result,
) -> fmt::Result {
    let trace = Trace::current();
    if !trace.is_some() {
        return whole(writer);
    }
    // Taken out, so that something that logs while it is printed finds another one.
    let mut line = LINE.take();
    line.clear();
    let written = whole(Writer::new(&mut line)).and_then(|()| {
        let start = line.strip_suffix(end).unwrap_or(&line);
        writer.write_str(start)?;
        add(&trace, &mut writer)?;
        writer.write_str(end)
    });
    LINE.set(line);
    written
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use tracing::Level;

    use super::*;

    #[test]
    fn levels_are_chosen_by_module() {
        let levels = read("info,dialplane::gateway=debug,hyper=off").unwrap();
        for (module, level, is_told) in [
            ("dialplane::api", Level::INFO, true),
            ("dialplane::api", Level::DEBUG, false),
            ("dialplane::gateway::exchange", Level::DEBUG, true),
            ("hyper::client", Level::ERROR, false),
        ] {
            assert_eq!(levels.would_enable(module, &level), is_told, "{module} {level}");
        }
        assert!(read("debug").unwrap().would_enable("h2", &Level::DEBUG));
        assert!(read("").is_none());
        assert!(read("dialplane=loud").is_none());
    }

    #[derive(Clone, Default)]
    struct Page(Arc<Mutex<Vec<u8>>>);

    impl io::Write for Page {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn lines_have_the_trace_they_belong_to() {
        let trace =
            Trace::parse("00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-00", None).unwrap();
        let page = Page::default();
        let copy = page.clone();
        let lines = lines_of().with_writer(move || copy.clone());
        let log = || {
            tracing::info!(calls = 2, "placed");
            trace.enter(|| tracing::info!(calls = 3, "placed \"}}\n"));
        };
        let json = lines.fmt_fields(JsonFields::new()).event_format(JsonLines::default()).finish();
        tracing::subscriber::with_default(json, log);
        let text = String::from_utf8(std::mem::take(&mut page.0.lock().unwrap())).unwrap();
        let lines: Vec<serde_json::Value> =
            text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        assert_eq!(lines[0]["calls"], 2);
        assert!(lines[0].get("trace_id").is_none());
        assert_eq!(lines[1]["message"], "placed \"}\n");
        assert_eq!(lines[1]["trace_id"], "4bf92f3577b34da6a3ce929d0e0e4736");
        assert_eq!(lines[1]["span_id"], "00f067aa0ba902b7");

        let copy = page.clone();
        let lines = lines_of().with_writer(move || copy.clone());
        let text = lines.event_format(TextLines::new(false)).finish();
        tracing::subscriber::with_default(text, log);
        let text = String::from_utf8(page.0.lock().unwrap().clone()).unwrap();
        assert!(text.lines().next().unwrap().ends_with("placed calls=2"), "{text}");
        let end = "trace_id=4bf92f3577b34da6a3ce929d0e0e4736 span_id=00f067aa0ba902b7\n";
        assert!(text.ends_with(end), "{text}");
    }
}
