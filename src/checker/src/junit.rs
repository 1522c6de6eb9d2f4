//! Reports in JUnit's XML, as pytest, Maven, cargo-nextest and others write them.
use quick_xml::Reader;
use quick_xml::events::{BytesStart, Event};

/// What a report counts.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub(crate) struct Counts {
    pub(crate) tests: u64,
    /// Failures and errors.
    pub(crate) failures: u64,
    pub(crate) skipped: u64,
    /// The names of the tests that failed.
    pub(crate) failed: Vec<String>,
}

impl Counts {
    pub(crate) fn add(&mut self, other: Self) {
        self.tests += other.tests;
        self.failures += other.failures;
        self.skipped += other.skipped;
        self.failed.extend(other.failed);
    }
}

/// Counts the tests of a report themselves, since the sums that some programs write are wrong.
pub(crate) fn read(text: &[u8]) -> anyhow::Result<Counts> {
    let mut reader = Reader::from_reader(text);
    let (mut counts, mut name, mut is_report, mut depth) = (Counts::default(), None, false, 0_u32);
    let mut is_in_test = false;
    loop {
        match reader.read_event()? {
            Event::Eof => break,
            Event::Start(element) => {
                depth += 1;
                is_report |= is_suite(&element);
                is_in_test |= element.local_name().as_ref() == b"testcase";
                if !is_in_test {
                    of_suite(&element, &mut counts);
                }
                if element.local_name().as_ref() == b"testcase" {
                    counts.tests += 1;
                    name = Some(named(&element));
                } else {
                    outcome(&element, &mut name, &mut counts);
                }
            }
            Event::Empty(element) => {
                is_report |= is_suite(&element);
                if !is_in_test {
                    of_suite(&element, &mut counts);
                }
                if element.local_name().as_ref() == b"testcase" {
                    counts.tests += 1;
                } else {
                    outcome(&element, &mut name, &mut counts);
                }
            }
            Event::End(element) => {
                depth = depth.saturating_sub(1);
                if element.local_name().as_ref() == b"testcase" {
                    (name, is_in_test) = (None, false);
                }
            }
            _ => {}
        }
    }
    anyhow::ensure!(is_report, "it has no testsuite");
    anyhow::ensure!(depth == 0, "it ends in the middle");
    Ok(counts)
}

fn is_suite(element: &BytesStart<'_>) -> bool {
    matches!(element.local_name().as_ref(), b"testsuite" | b"testsuites")
}

/// A suite that fails as a whole, such as one that can't be set up.
fn of_suite(element: &BytesStart<'_>, counts: &mut Counts) {
    if matches!(element.local_name().as_ref(), b"failure" | b"error") {
        counts.failures += 1;
        counts.failed.push("the suite itself".to_owned());
    }
}

/// What an element within a test says of it; a test that fails in several ways fails once.
fn outcome(element: &BytesStart<'_>, name: &mut Option<String>, counts: &mut Counts) {
    match element.local_name().as_ref() {
        b"failure" | b"error" => {
            if let Some(name) = name.take() {
                counts.failures += 1;
                counts.failed.push(name);
            }
        }
        b"skipped" if name.take().is_some() => counts.skipped += 1,
        _ => {}
    }
}

fn named(element: &BytesStart<'_>) -> String {
    let attribute = |wanted: &[u8]| {
        let found = element.attributes().flatten().find(|it| it.key.as_ref() == wanted)?;
        Some(String::from_utf8_lossy(&found.value).into_owned())
    };
    let name = attribute(b"name").unwrap_or_default();
    match attribute(b"classname").filter(|class| !class.is_empty()) {
        Some(class) => format!("{class}.{name}"),
        None => name,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tests_are_counted_one_by_one() {
        let report = br#"<?xml version="1.0"?><testsuites><testsuite name="pytest" tests="9" failures="0">
            <testcase classname="t" name="well"/>
            <testcase classname="t" name="wrong"><failure message="1 != 2">trace</failure><error/></testcase>
            <testcase name="broken"><error>boom</error></testcase>
            <testcase classname="t" name="later"><skipped/></testcase>
            <testcase classname="t" name="told"><system-out>said</system-out></testcase>
        </testsuite></testsuites>"#;
        let counts = read(report).expect("a report");
        assert_eq!((counts.tests, counts.failures, counts.skipped), (5, 2, 1));
        assert_eq!(counts.failed, ["t.wrong", "broken"]);
    }

    #[test]
    fn a_suite_that_fails_as_a_whole_fails() {
        let counts = read(b"<testsuite><error message='no database'/><testcase name='a'/></testsuite>")
            .expect("a report");
        assert_eq!((counts.tests, counts.failures), (1, 1));
    }

    #[test]
    fn what_is_no_report_is_refused() {
        for text in [
            "",
            "<html></html>",
            "<testsuite><testcase></testsuite>",
            "no XML",
            "<testsuite><testcase/><testcase/>",
        ] {
            assert!(read(text.as_bytes()).is_err(), "{text}");
        }
        assert_eq!(read(b"<testsuite/>").expect("an empty report"), Counts::default());
    }
}
