//! What the parser takes and refuses.

use proptest::prelude::*;

use super::*;
use crate::error::Code;

const GOOD: &str = r#"{"mechanism":"gaussian","noise-multiplier":1.0,"sampling":{"kind":"poisson","rate":0.01},"relation":"add-or-remove-one","count":1000}"#;

fn refusal(text: &str) -> (Code, String, String) {
    let error = parse_events(text).expect_err(text);
    let fact = |name| error.fact(name).unwrap_or_default().to_string();
    (error.code, fact("row"), fact("field"))
}

/// GOOD with something replaced, as the second row.
fn refused_field(from: &str, to: &str) -> String {
    assert!(GOOD.contains(from), "{from}");
    let (code, row, field) = refusal(&format!("[{GOOD},{}]", GOOD.replace(from, to)));
    assert_eq!((code, row.as_str()), (Code::PrivacyEvent, "1"), "{to}");
    field
}

#[test]
fn an_event_comes_back_from_its_canonical_form() {
    let text = r#"[
        {"mechanism":"gaussian","noise-multiplier":1,"relation":"replace-one"},
        {"mechanism":"gaussian","noise-multiplier":0.7,"sampling":{"kind":"without-replacement","rate":0.1},"relation":"replace-one","count":3},
        {"mechanism":"discrete-gaussian","noise-multiplier":2.5,"grid-sigma":64,"relation":"replace-one","unit":"node"},
        {"mechanism":"distributed-discrete-gaussian","noise-multiplier":2,"parties":10,"local-grid-sigma":9.5,"dimension":7,"grid-l1":20,"relation":"replace-one"},
        {"mechanism":"skellam","noise-multiplier":2,"grid-l1":20,"grid-l2":10,"relation":"replace-one"},
        {"mechanism":"laplace","noise-multiplier":2,"sampling":{"kind":"none"},"relation":"replace-one"},
        {"mechanism":"tree","noise-multiplier":2,"steps":[10,20],"epochs":2,"relation":"replace-one"},
        {"mechanism":"tree","noise-multiplier":2,"steps":10,"relation":"replace-one"}
    ]"#;
    let events = parse_events(text).unwrap();
    assert_eq!(events.len(), 8);
    assert_eq!(events[0].sampling, Sampling::None);
    assert_eq!((events[0].count, events[0].unit), (1, Unit::Node));
    assert_eq!(parse_events(&write_events(&events)).unwrap(), events);
}

#[test]
fn a_whole_number_is_a_number_but_not_the_other_way_round() {
    let with = |noise: &str| parse_events(&format!("[{}]", GOOD.replace("1.0", noise))).unwrap();
    assert_eq!(with("1"), with("1.0"));
    assert_eq!(refused_field("1000", "1000.0"), "count");
    assert_eq!(refused_field("1000", "1e3"), "count");
    assert_eq!(refused_field("1000", "10.5"), "count");
}

#[test]
fn every_field_is_refused_by_name() {
    for (from, to, field) in [
        (r#""gaussian""#, r#""magic""#, "mechanism"),
        (r#""mechanism":"gaussian","#, "", "mechanism"),
        (r#""noise-multiplier":1.0,"#, "", "noise-multiplier"),
        ("1.0", "0", "noise-multiplier"),
        ("1.0", "-1.0", "noise-multiplier"),
        ("1.0", "1e300", "noise-multiplier"),
        ("1.0", r#""1.0""#, "noise-multiplier"),
        ("1.0", "true", "noise-multiplier"),
        ("1.0", "null", "noise-multiplier"),
        ("0.01", "0", "sampling.rate"),
        ("0.01", "1.01", "sampling.rate"),
        ("0.01", "-0.5", "sampling.rate"),
        (r#","rate":0.01"#, "", "sampling.rate"),
        (r#""poisson","rate":0.01"#, r#""none","rate":0.01"#, "sampling.rate"),
        (r#""poisson""#, r#""shuffled""#, "sampling.kind"),
        (r#"{"kind":"poisson","rate":0.01}"#, r#""poisson""#, "sampling"),
        ("add-or-remove-one", "add-one", "relation"),
        (r#""relation":"add-or-remove-one","#, "", "relation"),
        ("add-or-remove-one", "replace-one", "relation"),
        (r#""poisson""#, r#""without-replacement""#, "relation"),
        ("1000", "0", "count"),
        ("1000", "-3", "count"),
        ("1000", "1000000000001", "count"),
        (r#""count":1000"#, r#""unit":"dataset""#, "unit"),
        (r#""count":1000"#, r#""unit":"user""#, "unit"),
        (r#""count":1000"#, r#""colour":"red""#, "colour"),
        (
            r#""gaussian""#,
            r#""distributed-discrete-gaussian","parties":2,"local-grid-sigma":9,"dimension":7,"grid-l1":2"#,
            "sampling",
        ),
        (r#""gaussian""#, r#""discrete-gaussian""#, "grid-sigma"),
        (r#""gaussian""#, r#""discrete-gaussian","grid-sigma":2"#, "grid-sigma"),
        (r#""gaussian""#, r#""skellam","grid-l1":1,"grid-l2":2"#, "grid-l1"),
        (
            r#""gaussian""#,
            r#""distributed-discrete-gaussian","parties":2,"local-grid-sigma":0.4,"dimension":1,"grid-l1":1"#,
            "local-grid-sigma",
        ),
        (r#""gaussian""#, r#""skellam","grid-l2":2"#, "grid-l1"),
        (r#""gaussian""#, r#""tree","steps":[]"#, "steps"),
        (r#""gaussian""#, r#""tree","steps":[1,2.0]"#, "steps"),
        (r#""gaussian""#, r#""tree","steps":5"#, "relation"),
        (r#""gaussian""#, r#""gaussian","steps":5"#, "steps"),
    ] {
        assert_eq!(refused_field(from, to), field, "{from} → {to}");
    }
}

#[test]
fn a_tree_on_a_sample_is_refused() {
    let tree = r#"[{"mechanism":"tree","steps":5,"noise-multiplier":1,"sampling":{"kind":"poisson","rate":0.1},"relation":"zero-out"}]"#;
    assert_eq!(refusal(tree), (Code::PrivacyEvent, "0".to_string(), "sampling".to_string()));
    let fixed = tree.replace("poisson", "without-replacement").replace("zero-out", "replace-one");
    assert_eq!(refusal(&fixed).2, "sampling");
}

#[test]
fn what_is_no_list_of_events_is_refused() {
    for text in [
        "",
        "{}",
        "3",
        "[",
        "[]]",
        "[3]",
        "[null]",
        "[{}]",
        "[NaN]",
        r#"[{"a":1,"a":2}]"#,
        "\u{0}",
        r#"[{"noise-multiplier":1e999}]"#,
    ] {
        assert_eq!(parse_events(text).unwrap_err().code, Code::PrivacyEvent, "{text}");
    }
    assert_eq!(parse_events("[]").unwrap(), vec![]);
    let twice = GOOD.replace(r#""count":1000"#, r#""count":1000,"count":1"#);
    assert_eq!(refusal(&format!("[{twice}]")).0, Code::PrivacyEvent);
    let deep = "[".repeat(100_000);
    assert_eq!(parse_events(&deep).unwrap_err().code, Code::PrivacyEvent);
}

#[test]
fn rows_without_noise_are_the_ones_to_calibrate() {
    let bare = GOOD.replace(r#""noise-multiplier":1.0,"#, "");
    assert_eq!(parse_events_to_calibrate(&format!("[{GOOD},{bare}]")).unwrap().1, [false, true]);
    assert_eq!(parse_events_to_calibrate(&format!("[{GOOD},{GOOD}]")).unwrap().1, [true, true]);
    assert!(parse_events(&format!("[{bare}]")).is_err());
}

proptest! {
    /// Any cut, doubling or swap of bytes is answered, by events that validate or by a refusal with its code.
    #[test]
    fn damaged_lists_are_refused_or_valid(at in 0usize..140, length in 0usize..40, insert in "[\\[\\]{}\",:0-9eE.+na-z-]{0,6}") {
        let mut bytes = format!("[{GOOD},{GOOD}]").into_bytes();
        let end = (at + length).min(bytes.len());
        bytes.splice(at..end, insert.into_bytes());
        match parse_events(&String::from_utf8_lossy(&bytes)) {
            Ok(events) => validate_all(&events).unwrap(),
            Err(error) => prop_assert_eq!(error.code, Code::PrivacyEvent),
        }
    }

    #[test]
    fn arbitrary_text_never_panics(text in "\\PC{0,200}") {
        let _ = parse_events(&text);
    }
}
