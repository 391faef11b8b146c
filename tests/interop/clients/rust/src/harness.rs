//! What every scenario needs: the numbers, the dial log, and ways to say what is wrong.

use std::{collections::BTreeMap, env, error::Error};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

/// What is wrong, in words.
pub type Outcome<T = ()> = Result<T, Box<dyn Error>>;

/// Ends a scenario unless the condition holds.
macro_rules! ensure {
    ($condition:expr, $($said:tt)*) => {
        if !$condition {
            return Err(format!($($said)*).into());
        }
    };
}

/// Ends a scenario unless both are the same.
macro_rules! ensure_eq {
    ($left:expr, $right:expr) => {
        match (&$left, &$right) {
            (left, right) => crate::harness::ensure!(
                left == right,
                "{} is {left:?}, not {right:?}",
                stringify!($left)
            ),
        }
    };
}
pub(crate) use {ensure, ensure_eq};

fn told(name: &str) -> String {
    env::var(name).unwrap_or_default()
}

/// A request id or reference of this run.
pub fn named(name: &str) -> String {
    format!("{}-{name}", told("INTEROP_RUN"))
}

/// The number whose last two digits are these.
pub fn number(digits: &str) -> String {
    format!("+9199{}{digits}", told("INTEROP_NUMBERS"))
}

/// The same in another country.
pub fn turkish(digits: &str) -> String {
    format!("+9053{}{digits}", told("INTEROP_NUMBERS"))
}

/// How often each number was dialled since a moment.
pub struct DialLog(BTreeMap<String, usize>);

impl DialLog {
    /// Begins to count what is dialled to these numbers.
    pub async fn of(digits: &[&str]) -> Outcome<Self> {
        let mut dials = BTreeMap::new();
        for digits in digits {
            let number = number(digits);
            let before = dials_of(&number).await?;
            dials.insert(number, before);
        }
        Ok(Self(dials))
    }

    /// Ends a scenario unless the number was dialled just so often since.
    pub async fn has(&self, digits: &str, expected: usize) -> Outcome {
        let number = number(digits);
        let before = self.0.get(&number).copied().unwrap_or_default();
        let dials = dials_of(&number).await? - before;
        ensure!(dials == expected, "..{digits} was dialled {dials} times, not {expected}");
        Ok(())
    }
}

async fn dials_of(number: &str) -> Outcome<usize> {
    let sandbox = told("INTEROP_SANDBOX");
    let address = sandbox.strip_prefix("http://").ok_or("INTEROP_SANDBOX is no http://")?;
    let digits = number.trim_start_matches('+');
    let mut connection = TcpStream::connect(address).await?;
    let question =
        format!("GET /sandbox/dialed?number={digits} HTTP/1.0\r\nHost: {address}\r\n\r\n");
    connection.write_all(question.as_bytes()).await?;
    let mut answer = String::new();
    connection.read_to_string(&mut answer).await?;
    let (head, body) = answer.split_once("\r\n\r\n").ok_or("the dial log: no answer")?;
    ensure!(head.contains(" 200 "), "the dial log: {head}");
    let log: serde_json::Value = serde_json::from_str(body)?;
    Ok(log["dialed"].as_array().ok_or("the dial log: no list")?.len())
}
