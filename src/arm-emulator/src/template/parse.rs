//! Reading expressions: literals, calls, members.
use serde_json::{Value, json};

use super::invalid;
use crate::answer::Outcome;

/// An expression of a template, between its brackets.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Expression {
    Literal(Value),
    /// A function by its name in lower case.
    Call(String, Vec<Expression>),
    /// A member of an object or an array.
    Member(Box<Expression>, Box<Expression>),
}

pub(super) fn parse(text: &str) -> Outcome<Expression> {
    let mut reader = Reader { rest: text, depth: 0 };
    let expression = reader.expression()?;
    reader.space();
    if reader.rest.is_empty() {
        return Ok(expression);
    }
    Err(invalid(format!("the expression '{text}' can't be read at '{}'.", reader.rest)))
}

struct Reader<'a> {
    rest: &'a str,
    depth: usize,
}

impl Reader<'_> {
    fn space(&mut self) {
        self.rest = self.rest.trim_start();
    }

    fn eat(&mut self, mark: char) -> bool {
        self.space();
        let Some(rest) = self.rest.strip_prefix(mark) else { return false };
        self.rest = rest;
        true
    }

    fn need(&mut self, mark: char) -> Outcome<()> {
        if self.eat(mark) { Ok(()) } else { Err(invalid(format!("'{mark}' is missing at '{}'.", self.rest))) }
    }

    fn expression(&mut self) -> Outcome<Expression> {
        self.depth += 1;
        if self.depth > super::DEPTH {
            return Err(invalid("the expressions are nested too deeply."));
        }
        let mut found = self.term()?;
        loop {
            if self.eat('.') {
                let name = self.name()?;
                found = Expression::Member(Box::new(found), Box::new(Expression::Literal(json!(name))));
            } else if self.eat('[') {
                let index = self.expression()?;
                self.need(']')?;
                found = Expression::Member(Box::new(found), Box::new(index));
            } else {
                self.depth -= 1;
                return Ok(found);
            }
        }
    }

    fn term(&mut self) -> Outcome<Expression> {
        self.space();
        if self.eat('\'') {
            return self.string();
        }
        if self.rest.starts_with(|mark: char| mark.is_ascii_digit() || mark == '-') {
            let end = self.rest[1..]
                .find(|mark: char| !mark.is_ascii_digit())
                .map_or(self.rest.len(), |end| end + 1);
            let (number, rest) = self.rest.split_at(end);
            self.rest = rest;
            let number: i64 = number.parse().map_err(|_| invalid(format!("'{number}' is no number.")))?;
            return Ok(Expression::Literal(json!(number)));
        }
        let name = self.name()?.to_lowercase();
        match name.as_str() {
            "true" => return Ok(Expression::Literal(json!(true))),
            "false" => return Ok(Expression::Literal(json!(false))),
            "null" => return Ok(Expression::Literal(Value::Null)),
            _ => {}
        }
        self.need('(')?;
        let mut arguments = Vec::new();
        if self.eat(')') {
            return Ok(Expression::Call(name, arguments));
        }
        loop {
            arguments.push(self.expression()?);
            if self.eat(')') {
                return Ok(Expression::Call(name, arguments));
            }
            self.need(',')?;
        }
    }

    /// The rest of a string after its first quote; two quotes stand for one.
    fn string(&mut self) -> Outcome<Expression> {
        let mut text = String::new();
        loop {
            let Some(end) = self.rest.find('\'') else { return Err(invalid("a string has no end.")) };
            text.push_str(&self.rest[..end]);
            self.rest = &self.rest[end + 1..];
            if !self.rest.starts_with('\'') {
                return Ok(Expression::Literal(json!(text)));
            }
            text.push('\'');
            self.rest = &self.rest[1..];
        }
    }

    fn name(&mut self) -> Outcome<String> {
        self.space();
        let end = self
            .rest
            .find(|mark: char| !mark.is_ascii_alphanumeric() && mark != '_')
            .unwrap_or(self.rest.len());
        let (name, rest) = self.rest.split_at(end);
        if name.is_empty() {
            return Err(invalid(format!("a name is missing at '{}'.", self.rest)));
        }
        self.rest = rest;
        Ok(name.to_owned())
    }
}
