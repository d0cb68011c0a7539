use super::*;
use crate::secagg::testing::{NOW, Play};

fn code<T>(result: Result<T>) -> Code {
    result.err().expect("refused").code
}

fn removal(play: &Play) -> Removal {
    let roster = Roster::new(&play.terms, play.adverts.clone(), NOW).unwrap();
    Removal::new(roster, play.model, &play.survivor_list().survivors, &play.dropped()).unwrap()
}

/// Five nodes, of which node 50 dropped out after sharing.
fn opened() -> Play {
    let mut play = Play::confirmed_without(5, &[4]);
    play.unmask_all(&[]);
    play
}

#[test]
fn advancing_is_possible_from_the_threshold_on() {
    let play = opened();
    let mut removal = removal(&play);
    for (count, opened) in play.opened.iter().flatten().enumerate() {
        assert_eq!(removal.is_possible(), count >= 3, "{count} of 4 answers, 3 needed");
        removal.take(opened).unwrap();
    }
    assert!(removal.is_possible());
}

#[test]
fn the_total_mask_does_not_depend_on_who_answered_or_on_threads() {
    let play = opened();
    let mut turned = removal(&play);
    play.opened.iter().rev().flatten().for_each(|opened| turned.take(opened).unwrap());
    let total = play.removal().total_mask(&play.terms, 1).unwrap();
    assert_eq!(turned.total_mask(&play.terms, 3).unwrap(), total);
    let other_model = Removal { model: [0; 32], ..play.removal() };
    assert_ne!(other_model.total_mask(&play.terms, 1).unwrap(), total, "masks are of one model");
}

#[test]
fn answers_that_no_honest_node_gives_are_left_out_whole() {
    let play = opened();
    let honest = play.opened[0].clone().unwrap();
    type Change = fn(&mut OpenedShares);
    let changes: [(&str, Change); 8] = [
        ("of a node that dropped", |opened| opened.node = 50),
        ("of nobody", |opened| opened.node = 11),
        ("both secrets", |opened| opened.keys.push(OpenedShare { of: 20, ..opened.keys[0].clone() })),
        ("the wrong secret", |opened| opened.seeds[0].of = 50),
        ("its own key", |opened| opened.keys[0].of = 10),
        ("twice", |opened| opened.seeds.push(opened.seeds[0].clone())),
        ("a short share", |opened| opened.seeds[1].share.truncate(SHARE_BYTES - 1)),
        ("no element", |opened| opened.seeds[1].share = vec![255; SHARE_BYTES]),
    ];
    for (what, change) in changes {
        let (mut removal, mut opened) = (removal(&play), honest.clone());
        change(&mut opened);
        assert_eq!(code(removal.check(&opened)), Code::SecaggShares, "{what}");
        assert_eq!(code(removal.take(&opened)), Code::SecaggShares, "{what}");
        assert!(removal.owners.values().all(|owner| owner.shares.is_empty()), "{what}");
        removal.take(&honest).unwrap();
        assert_eq!(code(removal.take(&honest)), Code::SecaggShares, "a second answer");
    }
}

#[test]
fn wrong_shares_are_noticed() {
    let play = opened();
    let with = |change: &dyn Fn(&mut OpenedShares)| {
        let mut removal = removal(&play);
        for opened in play.opened.iter().flatten() {
            let mut opened = opened.clone();
            if opened.node == 20 {
                change(&mut opened);
            }
            removal.take(&opened).unwrap();
        }
        removal.total_mask(&play.terms, 1).unwrap_err()
    };
    let key = with(&|opened| opened.keys[0].share[0] ^= 1);
    assert_eq!((key.code, key.fact("node")), (Code::SecaggShares, Some("50")));
    let seed = with(&|opened| opened.seeds[0].share[3] ^= 1);
    assert_eq!((seed.code, seed.fact("node")), (Code::SecaggShares, Some("10")));
}

/// A round that a script without our code has played: see `make_vectors.py`.
#[test]
fn the_round_of_the_vectors_opens_to_its_sum() {
    use crate::secagg::messages::{CertifiedAdvert, from_json};
    use crate::secagg::residues::Residues;
    use crate::secagg::testing::{Vector, hex, vectors};
    let case = &vectors("round")["cases"][0];
    let terms: Terms = from_json(&case["terms"].to_string()).unwrap();
    assert_eq!(terms.digest(), case.bytes("terms_digest"));
    let adverts: Vec<CertifiedAdvert> = from_json(&case["adverts"].to_string()).unwrap();
    let roster = Roster::new(&terms, adverts, 1000).unwrap();
    assert_eq!(*roster.transcript(), case.bytes("transcript"));
    let list = |name: &str| -> Vec<u64> {
        case[name].as_array().unwrap().iter().map(|node| node.as_str().unwrap().parse().unwrap()).collect()
    };
    let mut removal = Removal::new(roster, case.bytes("model"), &list("survivors"), &list("dropped")).unwrap();
    for opened in case["opened"].as_array().unwrap() {
        removal.take(&from_json(&opened.to_string()).unwrap()).unwrap();
    }
    let total = removal.total_mask(&terms, 1).unwrap();
    assert_eq!(crate::hash::to_hex(&total.pack()), case["total_mask"].as_str().unwrap());
    let mut sum = Residues::new(terms.bits, terms.length as usize).unwrap();
    for masked in case["masked"].as_array().unwrap() {
        sum.add_packed(0, &hex(masked.as_str().unwrap())).unwrap();
    }
    sum.subtract(&total).unwrap();
    let expected: Vec<i64> = case["sum"].as_array().unwrap().iter().map(|value| value.as_i64().unwrap()).collect();
    assert_eq!((0..sum.len()).map(|at| sum.signed(at)).collect::<Vec<_>>(), expected);
}

#[test]
fn nodes_in_both_lists_twice_or_unknown_are_refused() {
    let play = opened();
    let new = |survivors: &[u64], dropped: &[u64]| {
        let roster = Roster::new(&play.terms, play.adverts.clone(), NOW).unwrap();
        code(Removal::new(roster, play.model, survivors, dropped))
    };
    assert_eq!(new(&[10, 20], &[20]), Code::SecaggShares);
    assert_eq!(new(&[10, 10], &[]), Code::SecaggShares);
    assert_eq!(new(&[10], &[11]), Code::SecaggShares);
}
