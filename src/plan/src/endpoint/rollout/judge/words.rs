//! The sentences of checks: what was measured, the bound, and on how much it rests.

/// Where a check stands when its sentence is written.
#[derive(Clone, Copy, Debug)]
pub(super) enum Standing {
    /// It passed or failed.
    Settled,
    /// So many requests are too few.
    TooFew(u64),
    /// The step has not lasted long enough.
    SoFar { beyond: bool },
    /// So many requests of the stable revision are too few to compare with.
    NothingToCompare(u64),
    /// It is beyond the bound, but noise may explain it.
    Doubtful,
}

impl Standing {
    /// Adds to a sentence why it is not the last word.
    pub(super) fn say(self, sentence: &str, fewest: u64, unit: &str) -> String {
        let fewest = count(fewest);
        match self {
            Self::Settled => sentence.to_owned(),
            Self::TooFew(0) => format!("no {unit} so far, {fewest} are needed"),
            Self::TooFew(samples) => format!("{} of {fewest} {unit} so far: {sentence}", count(samples)),
            Self::SoFar { beyond: false } => format!("so far {sentence}"),
            Self::SoFar { beyond: true } => format!("so far {sentence}; this may still be chance"),
            Self::NothingToCompare(samples) => {
                format!("the stable revision has {} of {fewest} {unit}: {sentence}", count(samples))
            }
            Self::Doubtful => format!("{sentence}; this may still be chance, more {unit} will tell"),
        }
    }
}

/// The errors of a candidate, and those of the stable revision.
pub(super) struct Errors {
    /// The share of 5xx.
    pub(super) failed: f64,
    /// The share of 4xx beyond the stable revision's.
    pub(super) beyond: f64,
    /// The stable revision's share of 5xx.
    pub(super) stable: f64,
    /// Its answers.
    pub(super) answers: u64,
}

impl Errors {
    pub(super) fn sentence(&self, value: f64, threshold: f64, answers: u64) -> String {
        let mut text = share(value, threshold, &format!("{} answers are errors", count(answers)));
        if self.beyond > 0.0 {
            let (failed, beyond) = (percent(self.failed, 1), percent(self.beyond, 1));
            text += &format!(" ({failed} with 5xx, {beyond} with 4xx beyond the stable revision's)");
        }
        match self.answers {
            0 => text + "; stable: no answers",
            answers => text + &format!("; stable: {} of {}", percent(self.stable, 1), count(answers)),
        }
    }
}

/// `3.1 % of 412 answers are errors, at most 1.0 % are allowed`.
pub(super) fn share(value: f64, threshold: f64, of: &str) -> String {
    let digits = digits(value * 100.0, threshold * 100.0, 1);
    format!("{} of {of}, at most {} are allowed", percent(value, digits), percent(threshold, digits))
}

/// `of 412 answers is 31 ms, 1.31 times that of 3,701 answers of the stable revision, 24 ms; at most 1.20 times is
/// allowed`.
pub(super) fn latency(value: f64, threshold: f64, times: (f64, f64), answers: (u64, u64)) -> String {
    let digits = digits(value, threshold, 2);
    format!(
        "of {} answers is {}, {value:.digits$} times that of {} answers of the stable revision, {}; at most {threshold:.digits$} times is allowed",
        count(answers.0),
        duration(times.0),
        count(answers.1),
        duration(times.1),
    )
}

/// `the query answers 0.7, at least 0.8 is wanted`.
pub(super) fn query(value: f64, min: Option<f64>, max: Option<f64>, over: bool) -> String {
    let bounds = match (min, max) {
        (Some(min), Some(max)) => format!(", from {} to {} is wanted", number(min), number(max)),
        (Some(min), None) => format!(", at least {} is wanted", number(min)),
        (None, Some(max)) => format!(", at most {} is wanted", number(max)),
        (None, None) => String::new(),
    };
    let so_far = if over { "" } else { "; it is judged at the end of the step" };
    format!("the query answers {}{bounds}{so_far}", number(value))
}

/// A number with separators: `3,701`.
pub(super) fn count(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// The fewest digits behind the point that tell a value from its bound, which is written in full where four suffice.
fn digits(value: f64, threshold: f64, fewest: usize) -> usize {
    let told = |digits: &usize| {
        let digits = *digits;
        let (left, right) = (format!("{value:.digits$}"), format!("{threshold:.digits$}"));
        let full = right.parse::<f64>().is_ok_and(|read| (read - threshold).abs() < 1e-9);
        full && (left != right || (value - threshold).abs() < 1e-9)
    };
    (fewest..4).find(told).unwrap_or(4)
}

fn percent(share: f64, digits: usize) -> String {
    format!("{:.digits$} %", share * 100.0)
}

/// At most six digits that say something; the exponent where the number is far from one.
fn number(value: f64) -> String {
    let size = value.abs();
    if size != 0.0 && !(1e-4..1e9).contains(&size) {
        return format!("{value:.3e}");
    }
    let text = format!("{value:.4}");
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}

fn duration(seconds: f64) -> String {
    match seconds {
        seconds if seconds < 0.001 => format!("{:.0} µs", seconds * 1e6),
        seconds if seconds < 0.01 => format!("{:.1} ms", seconds * 1e3),
        seconds if seconds < 1.0 => format!("{:.0} ms", seconds * 1e3),
        seconds => format!("{seconds:.2} s"),
    }
}
