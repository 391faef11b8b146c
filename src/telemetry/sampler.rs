//! Which traces are recorded: `OTEL_TRACES_SAMPLER`, decided without making a span first.

use opentelemetry::trace::TraceId;

/// A sampler of OpenTelemetry's.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Sampler {
    /// A caller's own decision is followed.
    follows: bool,
    /// Of 2^63, how many trace ids are recorded.
    bound: u64,
}

/// All ids there are.
const ALL: u64 = 1 << 63;

impl Sampler {
    /// What is recorded if nothing is said: what callers record, and every trace of ours.
    pub const DEFAULT: Self = Self { follows: true, bound: ALL };
    /// Everything.
    pub const ALWAYS: Self = Self { follows: false, bound: ALL };

    /// By its name and argument in the environment. What can't be read is told, and what the
    /// specification wants instead holds.
    pub fn read(name: Option<&str>, argument: Option<&str>, mistakes: &mut Vec<String>) -> Self {
        let mut ratio = |follows| {
            let read = argument.map_or(Some(1.0), |text| {
                text.trim().parse::<f64>().ok().filter(|ratio| (0.0..=1.0).contains(ratio))
            });
            if read.is_none() {
                mistakes.push(
                    "OTEL_TRACES_SAMPLER_ARG is no number from 0 to 1; all is recorded".into(),
                );
            }
            Self { follows, bound: bound(read.unwrap_or(1.0)) }
        };
        match name.map(str::trim) {
            None | Some("" | "parentbased_always_on") => Self::DEFAULT,
            Some("always_on") => Self::ALWAYS,
            Some("always_off") => Self { follows: false, bound: 0 },
            Some("traceidratio") => ratio(false),
            Some("parentbased_always_off") => Self { follows: true, bound: 0 },
            Some("parentbased_traceidratio") => ratio(true),
            Some(_) => {
                mistakes.push(
                    "OTEL_TRACES_SAMPLER is none of always_on, always_off, traceidratio, \
                     parentbased_always_on, parentbased_always_off, parentbased_traceidratio; \
                     parentbased_always_on holds"
                        .into(),
                );
                Self::DEFAULT
            }
        }
    }

    /// Whether a trace is recorded, by what its caller decided, if there is one.
    pub fn samples(self, caller: Option<bool>, id: TraceId) -> bool {
        match caller {
            Some(sampled) if self.follows => sampled,
            _ => {
                let [.., a, b, c, d, e, f, g, h] = id.to_bytes();
                u64::from_be_bytes([a, b, c, d, e, f, g, h]) >> 1 < self.bound
            }
        }
    }
}

/// As all SDKs have it, so that they agree about a trace.
#[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, clippy::cast_precision_loss)]
fn bound(ratio: f64) -> u64 {
    if ratio >= 1.0 { ALL } else { (ratio * ALL as f64) as u64 }
}

#[cfg(test)]
mod tests {
    use opentelemetry_sdk::trace::{IdGenerator, RandomIdGenerator};
    use opentelemetry_sdk::trace::{Sampler as Theirs, SamplingDecision, ShouldSample};

    use super::*;

    fn read(name: &str, argument: Option<&str>) -> (Sampler, usize) {
        let mut mistakes = Vec::new();
        let sampler = Sampler::read(Some(name), argument, &mut mistakes);
        (sampler, mistakes.len())
    }

    #[test]
    fn callers_are_followed_or_not() {
        let id = RandomIdGenerator::default().new_trace_id();
        for (name, argument, without, sampled, unsampled) in [
            ("always_on", None, true, true, true),
            ("always_off", Some("1"), false, false, false),
            ("traceidratio", Some("0"), false, false, false),
            ("traceidratio", None, true, true, true),
            ("parentbased_always_on", None, true, true, false),
            ("parentbased_always_off", None, false, true, false),
            ("parentbased_traceidratio", Some("0"), false, true, false),
            ("parentbased_traceidratio", Some("1.0"), true, true, false),
        ] {
            let (sampler, mistakes) = read(name, argument);
            let decided = [None, Some(true), Some(false)].map(|caller| sampler.samples(caller, id));
            assert_eq!((decided, mistakes), ([without, sampled, unsampled], 0), "{name}");
        }
    }

    #[test]
    fn mistakes_are_told_and_not_repeated() {
        for (name, argument) in
            [("all", None), ("traceidratio", Some("2")), ("traceidratio", Some("x"))]
        {
            assert_eq!(read(name, argument).1, 1, "{name}");
        }
    }

    #[test]
    fn a_ratio_means_the_same_traces_as_elsewhere() {
        let ids = RandomIdGenerator::default();
        for ratio in [0.01, 0.3, 0.999] {
            let (ours, _) = read("traceidratio", Some(&ratio.to_string()));
            let theirs = Theirs::TraceIdRatioBased(ratio);
            for _ in 0..2_000 {
                let id = ids.new_trace_id();
                let kind = opentelemetry::trace::SpanKind::Server;
                let decided = theirs.should_sample(None, id, "", &kind, &[], &[]).decision;
                let expected = decided == SamplingDecision::RecordAndSample;
                assert_eq!(ours.samples(None, id), expected, "{id} {ratio}");
            }
        }
    }
}
