//! The names of columns, which requests of one endpoint share for the most part: made once for a batch.
use std::borrow::Cow;
use std::collections::HashMap;
use std::rc::Rc;

use serde_json::Value;

use super::rows::Masks;

/// The most bytes of names that are kept: callers choose them.
const ROOM: usize = 1024 * 1024;

/// The name of a column.
#[derive(Debug, PartialEq)]
pub(super) struct Title {
    /// As it is.
    pub(super) name: String,
    /// Whether the column's values are left out.
    pub(super) is_masked: bool,
    /// A comma, the name in quotes and a colon, as they stand before a value.
    quoted: String,
}

impl Title {
    fn new(name: String, is_masked: bool) -> Self {
        let mut quoted = String::with_capacity(name.len() + 4);
        quoted.push(',');
        quote(&name, &mut quoted);
        quoted.push(':');
        Self { name, is_masked, quoted }
    }

    /// What stands before a value, which is the first one of its row or not.
    pub(super) fn before(&self, is_first: bool) -> &str {
        self.quoted.get(usize::from(is_first)..).unwrap_or_default()
    }
}

/// Appends a text in quotes.
pub(super) fn quote(text: &str, into: &mut String) {
    // Hardly any has something to escape.
    if text.bytes().any(|byte| byte < b' ' || byte == b'"' || byte == b'\\') {
        into.push_str(&Value::from(text).to_string());
        return;
    }
    into.push('"');
    into.push_str(text);
    into.push('"');
}

/// The masks, which are an endpoint's own, the tensor's name, and how many columns it has.
type Key<'b> = (*const Masks, Cow<'b, str>, usize);

/// The names that were made so far.
#[derive(Debug)]
pub(super) struct Titles<'b> {
    known: HashMap<Key<'b>, Rc<[Title]>>,
    room: usize,
}

impl Default for Titles<'_> {
    fn default() -> Self {
        Self { known: HashMap::new(), room: ROOM }
    }
}

impl<'b> Titles<'b> {
    /// The names of a tensor's columns. The masks live as long as this, so that no others have their address.
    pub(super) fn of(&mut self, masks: &'b Masks, tensor: Cow<'b, str>, width: usize) -> Rc<[Title]> {
        let key = (std::ptr::from_ref(masks), tensor, width);
        if let Some(titles) = self.known.get(&key) {
            return Rc::clone(titles);
        }
        let tensor = &*key.1;
        let is_masked = masks.contains(tensor);
        let title = |column| {
            let name = if width == 1 { tensor.to_string() } else { numbered(tensor, column) };
            let is_masked = is_masked || masks.contains(&name);
            Title::new(name, is_masked)
        };
        let titles: Rc<[Title]> = (0..width).map(title).collect();
        let bytes = titles.iter().map(|title| size_of::<Title>() + title.name.len() + title.quoted.len());
        let bytes = size_of::<Key<'_>>() + tensor.len() + bytes.sum::<usize>();
        if let Some(room) = self.room.checked_sub(bytes) {
            self.room = room;
            self.known.insert(key, Rc::clone(&titles));
        }
        titles
    }
}

/// `name_0` and so on, without the cost of formatting.
fn numbered(name: &str, column: usize) -> String {
    let mut title = String::with_capacity(name.len() + 6);
    title.push_str(name);
    title.push('_');
    let mut power = 1;
    while column / power >= 10 {
        power *= 10;
    }
    while power > 0 {
        title.push(char::from(b'0' + (column / power % 10) as u8));
        power /= 10;
    }
    title
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(titles: &[Title]) -> Vec<(&str, bool)> {
        titles.iter().map(|title| (&*title.name, title.is_masked)).collect()
    }

    #[test]
    fn columns_are_numbered_in_decimals() {
        for column in [0, 9, 10, 99, 100, 1_024, 1_048_575] {
            assert_eq!(numbered("x", column), format!("x_{column}"));
        }
    }

    #[test]
    fn names_are_shared_by_the_tensors_of_one_name_and_width_below_the_same_masks() {
        let (none, masks): (_, Masks) = (Masks::new(), ["x_1".to_owned()].into());
        let (mut titles, x) = (Titles::default(), || Cow::Borrowed("x"));
        let open = titles.of(&none, x(), 2);
        let masked = titles.of(&masks, x(), 2);
        assert_eq!(names(&open), [("x_0", false), ("x_1", false)]);
        assert_eq!(names(&masked), [("x_0", false), ("x_1", true)]);
        assert_eq!(names(&titles.of(&masks, x(), 1)), [("x", false)]);
        assert!(Rc::ptr_eq(&open, &titles.of(&none, Cow::Owned("x".to_owned()), 2)));
        assert!(Rc::ptr_eq(&masked, &titles.of(&masks, x(), 2)));
    }

    #[test]
    fn names_beyond_the_bound_are_made_anew() {
        let (none, mut titles) = (Masks::new(), Titles::default());
        let long = || Cow::Owned("n".repeat(ROOM / 8));
        assert!(Rc::ptr_eq(&titles.of(&none, long(), 2), &titles.of(&none, long(), 2)));
        assert!(!Rc::ptr_eq(&titles.of(&none, long(), 8), &titles.of(&none, long(), 8)));
        assert!(Rc::ptr_eq(&titles.of(&none, "x".into(), 1), &titles.of(&none, "x".into(), 1)));
        assert!(titles.room < ROOM);
    }

    #[test]
    fn a_comma_stands_before_all_names_but_the_first_of_a_row() {
        let title = Title::new("a\"b".to_owned(), false);
        assert_eq!((title.before(true), title.before(false)), (r#""a\"b":"#, r#","a\"b":"#));
    }
}
