use super::*;
use crate::map_id::MapDigest;
use veltrix_route_table::RouteMapVersion;

fn map() -> NamedMap {
    let map = Bytes::from_static(b"a map");
    NamedMap { id: MapId { version: RouteMapVersion::from_wire(1).unwrap(), sha256: MapDigest::of(&map) }, map }
}

fn kind(update: Update) -> &'static str {
    match update {
        Update::Welcome(_) => "welcome",
        Update::Prepare(_) => "prepare",
        Update::Commit(_) => "commit",
        Update::Abort(_) => "abort",
    }
}

/// What was sent since the last look.
fn sent(mailbox: &mut Mailbox) -> Vec<&'static str> {
    let updates = std::iter::from_fn(|| mailbox.updates.try_recv().ok());
    updates.filter_map(|update| update.update).map(kind).collect()
}

#[test]
fn an_answer_to_an_aborted_question_is_not_taken_for_one_to_the_same_map_that_is_asked_again() {
    for late_answer_is_a_refusal in [false, true] {
        let (mut state, now) = (State::new(None), Instant::now());
        let (serial, mut mailbox) = state.join(v1::Hello { engine_id: "one".into(), ..Default::default() }, now);
        let (version, sha256) = (map().id.version.get(), map().id.sha256.to_bytes());
        let prepared = v1::Prepared { version, sha256: sha256.clone(), took: None };
        // A dry run of a map that is then applied: the same bytes under the same number.
        state.begin(map(), true, now);
        state.abort("it was a dry run", now);
        state.begin(map(), false, now);
        assert_eq!(sent(&mut mailbox), ["welcome", "prepare", "abort"], "it owes an answer, and is asked nothing else");
        match late_answer_is_a_refusal {
            true => drop(state.rejected("one", serial, v1::Rejected { version, sha256, reasons: Vec::new() }, now)),
            false => drop(state.prepared("one", serial, &prepared, now)),
        }
        let round = state.round.as_ref().unwrap();
        assert!(!round.all_answered() && !round.is_refused());
        assert_eq!(sent(&mut mailbox), ["prepare"], "what it had prepared is gone");
        state.prepared("one", serial, &prepared, now);
        let round = state.round.as_ref().unwrap();
        assert!(round.all_answered() && round.prepared() == 1);
    }
}
