//! The filter of a call for metrics: `deployment eq 'blue' and statusCodeClass ne '2xx'`, or `eq '*'` for any value.

/// What is asked of each dimension.
#[derive(Debug, Default, PartialEq)]
pub(super) struct Filter(Vec<(String, Vec<Test>)>);

#[derive(Debug, PartialEq)]
enum Test {
    Any,
    Is(String),
    IsNot(String),
}

impl Filter {
    /// Reads a filter; an empty one asks nothing.
    pub(super) fn parse(text: &str) -> Result<Self, String> {
        let mut clauses: Vec<(String, Vec<Test>)> = Vec::new();
        let mut joins = false;
        let mut rest = text.trim();
        while !rest.is_empty() {
            let at = rest;
            let unread = || format!("The filter could not be read at: {at}");
            if !clauses.is_empty() {
                let (word, behind) = rest.split_once(' ').ok_or_else(unread)?;
                joins = match word.to_ascii_lowercase().as_str() {
                    "or" => true,
                    "and" => false,
                    _ => return Err(unread()),
                };
                rest = behind.trim_start();
            }
            let (dimension, behind) = rest.split_once(' ').ok_or_else(unread)?;
            let (operator, behind) = behind.trim_start().split_once(' ').ok_or_else(unread)?;
            let quoted = behind.trim_start().strip_prefix('\'').ok_or_else(unread)?;
            let (value, behind) = quoted.split_once('\'').ok_or_else(unread)?;
            let test = match (operator.to_ascii_lowercase().as_str(), value) {
                ("eq", "*") => Test::Any,
                ("eq", value) => Test::Is(value.to_owned()),
                ("ne", value) => Test::IsNot(value.to_owned()),
                _ => return Err(unread()),
            };
            let dimension = dimension.to_ascii_lowercase();
            match clauses.last_mut().filter(|_| joins) {
                Some((last, tests)) if *last == dimension => tests.push(test),
                Some(_) => return Err("The operator or can't separate two different dimensions.".to_owned()),
                None => clauses.push((dimension, vec![test])),
            }
            rest = behind.trim_start();
        }
        Ok(Self(clauses))
    }

    /// The dimensions that it names, in lower case.
    pub(super) fn dimensions(&self) -> impl Iterator<Item = &str> {
        self.0.iter().map(|(name, _)| name.as_str())
    }

    /// The values of its dimensions; none where one of them is not asked for.
    pub(super) fn labels(&self, value: impl Fn(&str) -> String) -> Option<Vec<(String, String)>> {
        let label = |(name, tests): &(String, Vec<Test>)| {
            let value = value(name);
            let holds = |test: &Test| match test {
                Test::Any => true,
                Test::Is(wanted) => wanted.eq_ignore_ascii_case(&value),
                Test::IsNot(other) => !other.eq_ignore_ascii_case(&value),
            };
            tests.iter().any(holds).then(|| (name.clone(), value.clone()))
        };
        self.0.iter().map(label).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn labels(filter: &str, deployment: &str, class: &str) -> Option<String> {
        let value = |name: &str| if name == "deployment" { deployment } else { class }.to_owned();
        let labels = Filter::parse(filter).unwrap().labels(value)?;
        let words: Vec<String> = labels.into_iter().map(|(name, value)| format!("{name}={value}")).collect();
        Some(words.join(" "))
    }

    #[test]
    fn a_filter_chooses_and_splits() {
        let recorded = "deployment eq 'blue' and statusCodeClass ne '2xx'";
        let both = Some("deployment=blue statuscodeclass=5xx".to_owned());
        assert_eq!(labels(recorded, "blue", "5xx"), both);
        assert_eq!(labels(recorded, "blue", "2xx"), None);
        assert_eq!(labels(recorded, "green", "5xx"), None);
        assert_eq!(labels("deployment eq '*' and statusCodeClass eq '*'", "blue", "5xx"), both);
        let either = "deployment eq 'blue' or deployment eq 'green'";
        assert_eq!(labels(either, "Green", ""), Some("deployment=Green".to_owned()));
        assert_eq!(labels(either, "red", ""), None);
        assert_eq!(labels("", "red", ""), Some(String::new()));
        for wrong in [
            "deployment",
            "deployment eq blue",
            "deployment lt 'a'",
            "a eq 'b' or c eq 'd'",
            "a eq 'b' c eq 'd'",
        ] {
            assert!(Filter::parse(wrong).is_err(), "{wrong}");
        }
    }
}
