//! What happens to a call, chosen by the last two digits of its number.

/// The fate that a number names.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Fate {
    /// Taken, and ends so.
    Ends(End),
    /// The request meets with trouble.
    Meets(Trouble),
    /// 17: taken in form, but without a proper id.
    Partial,
}

/// How a call ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum End {
    /// 00, and every number with nothing else to say.
    Answered,
    /// 01
    Busy,
    /// 02
    NoAnswer,
    /// 03
    Rejected,
    /// 04
    InvalidNumber,
    /// 05
    Unavailable,
    /// 06
    Error,
}

/// What can become of a whole request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Trouble {
    /// 10: refused for its number.
    InvalidNumber,
    /// 11: refused for want of money.
    NoBalance,
    /// 12: refused for coming too fast.
    TooFast,
    /// 13: the vendor failed, and did not dial.
    Failure,
    /// 14: dialled, and never answered.
    Hold,
    /// 15: dialled, and the connection reset.
    Reset,
    /// 16: dialled, and the answer cut off.
    CutOff,
}

/// The digits of a number written in any way.
pub(super) fn digits(number: &str) -> String {
    number.chars().filter(char::is_ascii_digit).collect()
}

/// The fate that a number names.
pub(super) fn of(number: &str) -> Fate {
    let digits = digits(number);
    let last_two = digits.get(digits.len().saturating_sub(2)..).unwrap_or_default();
    match last_two {
        "01" => Fate::Ends(End::Busy),
        "02" => Fate::Ends(End::NoAnswer),
        "03" => Fate::Ends(End::Rejected),
        "04" => Fate::Ends(End::InvalidNumber),
        "05" => Fate::Ends(End::Unavailable),
        "06" => Fate::Ends(End::Error),
        "10" => Fate::Meets(Trouble::InvalidNumber),
        "11" => Fate::Meets(Trouble::NoBalance),
        "12" => Fate::Meets(Trouble::TooFast),
        "13" => Fate::Meets(Trouble::Failure),
        "14" => Fate::Meets(Trouble::Hold),
        "15" => Fate::Meets(Trouble::Reset),
        "16" => Fate::Meets(Trouble::CutOff),
        "17" => Fate::Partial,
        _ => Fate::Ends(End::Answered),
    }
}

/// How a call to this number ends once it was dialled.
pub(super) fn end_of(number: &str) -> End {
    match of(number) {
        Fate::Ends(end) => end,
        Fate::Meets(_) | Fate::Partial => End::Answered,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_last_two_digits_count() {
        for (number, fate) in [
            ("919900000000", Fate::Ends(End::Answered)),
            ("+91 99000 000-01", Fate::Ends(End::Busy)),
            ("919900000006", Fate::Ends(End::Error)),
            ("919900000007", Fate::Ends(End::Answered)),
            ("919900001718", Fate::Ends(End::Answered)),
            ("919900000017", Fate::Partial),
            ("14", Fate::Meets(Trouble::Hold)),
            ("4", Fate::Ends(End::Answered)),
            ("", Fate::Ends(End::Answered)),
        ] {
            assert_eq!(of(number), fate, "{number}");
        }
        assert_eq!(end_of("919900000014"), End::Answered);
    }
}
