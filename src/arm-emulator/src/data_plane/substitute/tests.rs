//! Expressions and what they become.
use super::*;

fn values() -> Values {
    [("inputs.rate", "0.1"), ("outputs.model", "/w/outputs/model"), ("search_space.depth", "3")]
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .into()
}

#[test]
fn expressions_are_replaced() {
    let text =
        "train --rate ${{inputs.rate}} --depth ${{ search_space.depth }} > ${{outputs.model}}/log $HOME";
    let wanted = "train --rate 0.1 --depth 3 > /w/outputs/model/log $HOME";
    assert_eq!(command(text, &values()).unwrap(), wanted);
}

#[test]
fn optional_part_needs_its_input() {
    assert_eq!(command("a $[[--x ${{inputs.x}}]] b", &values()).unwrap(), "a  b");
    assert_eq!(command("a $[[--x ${{inputs.rate}}]] b", &values()).unwrap(), "a --x 0.1 b");
}

#[test]
fn unknown_or_broken_expression_is_refused() {
    for text in ["${{inputs.x}}", "${{inputs.rate", "$[[ ${{inputs.rate}}"] {
        assert!(command(text, &values()).is_err(), "{text}");
    }
}

#[test]
fn only_a_whole_text_is_an_expression() {
    assert_eq!(expression(" ${{parent.inputs.x}} "), Some("parent.inputs.x"));
    assert_eq!(expression("a ${{parent.inputs.x}}"), None);
    assert_eq!(expression("${{a}} ${{b}}"), None);
}
