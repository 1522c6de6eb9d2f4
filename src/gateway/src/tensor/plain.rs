//! Tensors of bodies as nearly all are, in one pass: their values are checked and cut out at once.
//!
//! What is not plain, such as a name with an escape, is for `serde_json` to read or to refuse; that goes through each
//! value twice, and takes four times as long.
use std::borrow::Cow;

use serde::Deserialize;
use serde::de::IgnoredAny;
use serde_json::value::RawValue;

use super::{Tensor, flatten};

/// The most values for which there is room before they have come: callers choose shapes.
const EXPECTED: u64 = 1_024;

/// The tensors of a field of a body. None when there is something else, or anything that is not plain.
pub(super) fn tensors<'b>(body: &'b [u8], field: &str) -> Option<Vec<Tensor<'b>>> {
    let mut reader = Reader { text: std::str::from_utf8(body).ok()?, at: 0 };
    let mut found = None;
    reader.object(|reader, name| {
        if name == field && found.is_none() {
            found = Some(reader.list()?);
            return Some(());
        }
        if name == field { None } else { reader.value::<IgnoredAny>().map(|_| ()) }
    })?;
    reader.peek().is_none().then_some(found?)
}

struct Reader<'b> {
    text: &'b str,
    at: usize,
}

impl<'b> Reader<'b> {
    /// The next byte that is no space.
    fn peek(&mut self) -> Option<u8> {
        loop {
            match *self.text.as_bytes().get(self.at)? {
                b' ' | b'\n' | b'\r' | b'\t' => self.at += 1,
                byte => return Some(byte),
            }
        }
    }

    fn rest(&self) -> Option<&'b [u8]> {
        self.text.as_bytes().get(self.at..)
    }

    /// Takes the next byte, spaces aside, if it is this one.
    fn take(&mut self, byte: u8) -> Option<()> {
        (self.peek()? == byte).then(|| self.at += 1)
    }

    /// Takes so many bytes.
    fn cut(&mut self, length: usize) -> Option<&'b str> {
        let start = self.at;
        self.at += length;
        self.text.get(start..self.at)
    }

    /// Anything, read by others.
    fn value<T: Deserialize<'b>>(&mut self) -> Option<T> {
        let mut values = serde_json::Deserializer::from_str(self.text.get(self.at..)?).into_iter();
        let value = values.next()?.ok()?;
        self.at += values.byte_offset();
        Some(value)
    }

    /// A text without escapes, in its quotes.
    fn quoted(&mut self) -> Option<&'b str> {
        let (b'"', [_, rest @ ..]) = (self.peek()?, self.rest()?) else { return None };
        let end = rest.iter().position(|byte| matches!(byte, b'"' | b'\\' | 0..b' '))?;
        if rest.get(end) == Some(&b'"') { self.cut(end + 2) } else { None }
    }

    fn text(&mut self) -> Option<&'b str> {
        self.quoted()?.strip_prefix('"')?.strip_suffix('"')
    }

    /// An object, each of whose fields is read behind its name.
    fn object(&mut self, mut field: impl FnMut(&mut Self, &'b str) -> Option<()>) -> Option<()> {
        self.take(b'{')?;
        if self.take(b'}').is_some() {
            return Some(());
        }
        loop {
            let name = self.text()?;
            self.take(b':')?;
            field(self, name)?;
            if self.take(b'}').is_some() {
                return Some(());
            }
            self.take(b',')?;
        }
    }

    fn list(&mut self) -> Option<Vec<Tensor<'b>>> {
        let mut found = Vec::new();
        self.take(b'[')?;
        if self.take(b']').is_some() {
            return Some(found);
        }
        loop {
            found.push(self.tensor()?);
            if self.take(b']').is_some() {
                return Some(found);
            }
            self.take(b',')?;
        }
    }

    fn tensor(&mut self) -> Option<Tensor<'b>> {
        let (mut name, mut datatype, mut shape, mut values) = (None, None, None, None);
        self.object(|reader, field| {
            let is_second = match field {
                "name" => name.replace(reader.text()?).is_some(),
                "datatype" => datatype.replace(reader.text()?).is_some(),
                "shape" => shape.replace(reader.value()?).is_some(),
                "data" => values.replace(reader.data(shape.as_deref())?).is_some(),
                _ => reader.value::<IgnoredAny>().is_none(),
            };
            (!is_second).then_some(())
        })?;
        let datatype = Cow::Borrowed(datatype.unwrap_or_default());
        Some(Tensor { name: Cow::Borrowed(name?), datatype, shape: shape?, values: values? })
    }

    fn data(&mut self, shape: Option<&[u64]>) -> Option<Vec<&'b str>> {
        let expected =
            shape.map_or(0, |shape| shape.iter().fold(1, |all: u64, one| all.saturating_mul(*one)));
        let (start, mut values) = (self.at, Vec::with_capacity(expected.min(EXPECTED) as usize));
        if self.values(&mut values).is_none() {
            self.at = start;
            values.clear();
            flatten(self.value::<&RawValue>()?.get(), &mut values)?;
        }
        // Nobody gets much memory for a shape of few values.
        if values.len() < values.capacity() / 2 {
            values.shrink_to_fit();
        }
        Some(values)
    }

    /// Values in any number of brackets.
    fn values(&mut self, into: &mut Vec<&'b str>) -> Option<()> {
        let mut depth = 0_usize;
        loop {
            match self.peek()? {
                b'[' => {
                    self.at += 1;
                    depth += 1;
                    if self.peek()? != b']' {
                        continue;
                    }
                }
                b'"' => into.push(self.quoted()?),
                b'-' | b'0'..=b'9' => {
                    let length = number(self.rest()?)?;
                    into.push(self.cut(length)?);
                }
                _ => into.push(self.word()?),
            }
            // A value or an empty list is behind us.
            loop {
                if depth == 0 {
                    return Some(());
                }
                match self.peek()? {
                    b',' => break,
                    b']' => depth -= 1,
                    _ => return None,
                }
                self.at += 1;
            }
            self.at += 1;
        }
    }

    fn word(&mut self) -> Option<&'b str> {
        let rest = self.rest()?;
        let word = ["null", "true", "false"].into_iter().find(|word| rest.starts_with(word.as_bytes()))?;
        self.cut(word.len())
    }
}

/// The length of the number that begins here.
fn number(bytes: &[u8]) -> Option<usize> {
    // One digit or more.
    let digits = |from: usize| {
        let count = bytes.get(from..)?.iter().take_while(|byte| byte.is_ascii_digit()).count();
        (count > 0).then_some(from + count)
    };
    let start = usize::from(bytes.first() == Some(&b'-'));
    let mut end = if bytes.get(start) == Some(&b'0') { start + 1 } else { digits(start)? };
    if bytes.get(end) == Some(&b'.') {
        end = digits(end + 1)?;
    }
    if let Some(b'e' | b'E') = bytes.get(end) {
        let is_signed = matches!(bytes.get(end + 1), Some(b'+' | b'-'));
        end = digits(end + 1 + usize::from(is_signed))?;
    }
    Some(end)
}
