//! The ledger of the stream whose examples are corrected: what may stand at each place.
//!
//! Its one client does one thing after the other and sends again whatever nobody knows the outcome of, so of every example the
//! newest acknowledged revision or a later attempted one stands in the stream, and of a deleted one a tombstone for ever.

use std::collections::{BTreeMap, BTreeSet};

use reqwest::Method;
use serde_json::{Value, json};

use crate::dice::Dice;
use crate::learners::Subject;
use crate::ledger::{Reader, same, same_inputs};

/// Examples before this one are never corrected: so far the learner's life can be lived again.
pub const FIRST_CORRECTED: u64 = 100;

/// The inputs of a revision of example `number`.
pub fn inputs(number: u64, revision: u64) -> Value {
    let size = ((number as f64 * 1.3 + revision as f64 * 0.7).sin() * 1_024.0).round() / 1_024.0;
    json!({"n": number, "revision": revision, "size": size})
}

/// Its label.
pub fn label(number: u64, revision: u64) -> Value {
    if (number + revision).is_multiple_of(2) { "kept" } else { "cut" }.into()
}

fn example(number: u64, revision: u64) -> Value {
    json!({"inputs": inputs(number, revision), "label": label(number, revision), "id": Subject::Drafts.id(number)})
}

/// An example, after everything that was tried with it.
#[derive(Debug, Clone, Default)]
struct Draft {
    /// Its place, once that is known. Only such an example is corrected.
    place: Option<u64>,
    /// The newest revision that was sent.
    sent: u64,
    /// The newest revision that must be there; `None`: not even the first.
    stored: Option<u64>,
    deletion: Deletion,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
enum Deletion {
    #[default]
    Never,
    /// Nobody knows whether it happened.
    Asked,
    Done,
}

/// What is done next.
#[derive(Debug, Clone, PartialEq)]
enum Change {
    /// New examples.
    Post { first: u64, count: u64 },
    /// Other revisions of examples, each with its number.
    Replace(Vec<(u64, u64)>),
    /// Deletes an example: by its place, or else by its id.
    Delete { number: u64, place: Option<u64> },
    /// Sends a deleted example again, which brings nothing back.
    Revive { number: u64, revision: u64 },
}

/// A request to be sent now.
pub struct Request {
    pub method: Method,
    /// Below the learner's examples.
    pub path: String,
    pub body: Option<Value>,
    pub key: Option<String>,
    pub is_correction: bool,
}

/// The ledger.
#[derive(Default)]
pub struct Drafts {
    drafts: Vec<Draft>,
    numbers: BTreeMap<u64, u64>,
    changes: u64,
    /// What was sent and has no answer yet.
    open: Option<Change>,
    read: u64,
    seen: BTreeSet<u64>,
    replaced: u64,
    deleted: u64,
}

impl Drafts {
    /// Nothing attempted yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// What is sent next: what is still open, or something new.
    pub fn next(&mut self, dice: &mut Dice) -> Request {
        if self.open.is_none() {
            let change = self.draw(dice);
            match &change {
                Change::Post { count, .. } => {
                    self.drafts.extend((0..*count).map(|_| Draft::default()));
                }
                Change::Replace(revisions) => {
                    revisions.iter().for_each(|&(number, revision)| self.drafts[number as usize].sent = revision);
                }
                Change::Delete { number, .. } => self.drafts[*number as usize].deletion = Deletion::Asked,
                Change::Revive { .. } => {}
            }
            self.changes += 1;
            self.open = Some(change);
        }
        self.open().expect("it was opened above")
    }

    fn draw(&self, dice: &mut Dice) -> Change {
        let first = self.drafts.len() as u64;
        let post = Change::Post { first, count: 1 + dice.below(5) };
        if first <= FIRST_CORRECTED + 20 || dice.percent(35) {
            return post;
        }
        let draw = |dice: &mut Dice| {
            // Often one that was not learned yet.
            let back = if dice.percent(50) { 20 } else { first - FIRST_CORRECTED };
            first - 1 - dice.below(back)
        };
        let number = draw(dice);
        let Draft { place: Some(place), sent, deletion, .. } = self.drafts[number as usize] else { return post };
        match deletion {
            Deletion::Done => Change::Revive { number, revision: sent },
            Deletion::Asked => post,
            Deletion::Never if dice.percent(25) => {
                Change::Delete { number, place: Some(place).filter(|_| dice.percent(30)) }
            }
            Deletion::Never => {
                let more: BTreeSet<u64> = (0..dice.below(4)).map(|_| draw(dice)).chain([number]).collect();
                let is_there = |number: &u64| {
                    let draft = &self.drafts[*number as usize];
                    draft.place.is_some() && draft.deletion == Deletion::Never
                };
                let revision = |number: u64| (number, self.drafts[number as usize].sent + 1);
                Change::Replace(more.into_iter().filter(is_there).map(revision).collect())
            }
        }
    }

    /// What was sent and has no answer yet.
    pub fn open(&self) -> Option<Request> {
        let change = self.open.as_ref()?;
        // Every other request has a key.
        let key = self.changes.is_multiple_of(2).then(|| format!("drafts-change-{}", self.changes));
        let post = |examples: Vec<Value>, path: &str| {
            (Method::POST, path.to_owned(), Some(json!({ "examples": examples })), key.clone())
        };
        let (method, path, body, key) = match change {
            Change::Post { first, count } => {
                post((*first..first + count).map(|number| example(number, 0)).collect(), "")
            }
            Change::Replace(revisions) => {
                let examples = revisions.iter().map(|&(number, revision)| example(number, revision));
                post(examples.collect(), "?replace=true")
            }
            Change::Revive { number, revision } => post(vec![example(*number, *revision)], "?replace=true"),
            Change::Delete { place: Some(place), .. } => (Method::DELETE, format!("?seq={place}"), None, None),
            Change::Delete { number, .. } => (Method::DELETE, format!("/{}", Subject::Drafts.id(*number)), None, None),
        };
        Some(Request { method, path, body, key, is_correction: !matches!(change, Change::Post { .. }) })
    }

    /// The server answered what was open.
    pub fn answered(&mut self, status: u16, answer: &Value) -> Result<(), String> {
        let Some(change) = self.open.take() else { return Err("drafts: an answer to nothing".into()) };
        let number = |key: &str| answer[key].as_u64();
        let counts = [number("accepted"), number("duplicates"), number("replaced")].map(|count| count.unwrap_or(0));
        let fits = status == 200
            && match &change {
                Change::Post { count, .. } => counts == [*count, 0, 0] || counts == [0, *count, 0],
                Change::Replace(revisions) => counts == [0, 0, revisions.len() as u64],
                Change::Revive { .. } => counts == [0, 1, 0],
                Change::Delete { number, .. } => {
                    answer["deleted"] == true && answer["seq"].as_u64() == self.drafts[*number as usize].place
                }
            };
        if !fits {
            return Err(format!("drafts: {change:?} was answered {status}: {answer}"));
        }
        match change {
            Change::Post { first, count } => {
                for number in first..first + count {
                    let draft = &mut self.drafts[number as usize];
                    draft.stored = draft.stored.or(Some(0));
                    if let Some(place) = answer["first_seq"].as_u64() {
                        self.place(number, place + number - first)?;
                    }
                }
            }
            Change::Replace(revisions) => {
                self.replaced += revisions.len() as u64;
                revisions.into_iter().for_each(|(number, revision)| {
                    self.drafts[number as usize].stored = Some(revision);
                });
            }
            Change::Delete { number, .. } => {
                self.deleted += 1;
                self.drafts[number as usize].deletion = Deletion::Done;
            }
            Change::Revive { .. } => {}
        }
        Ok(())
    }

    /// The stream is read from its beginning, and nothing is sent meanwhile.
    pub fn read_anew(&mut self) {
        self.read = 0;
        self.seen.clear();
    }

    fn place(&mut self, number: u64, place: u64) -> Result<(), String> {
        let before = self.drafts[number as usize].place.replace(place);
        let other = self.numbers.insert(place, number);
        match (before, other) {
            (None, None) => Ok(()),
            (Some(before), Some(other)) if before == place && other == number => Ok(()),
            _ => Err(format!("drafts: example {number} is at {place}; before {before:?}, and {other:?} was there")),
        }
    }

    /// The whole stream was read: whatever was acknowledged must have been in it.
    pub fn complete(&self) -> Result<(), String> {
        let gone =
            (0..).zip(&self.drafts).find(|(number, draft)| draft.stored.is_some() && !self.seen.contains(number));
        match gone {
            Some((number, _)) => Err(format!("drafts: example {number} was acknowledged and is gone")),
            None => Ok(()),
        }
    }

    /// Examples in the stream, acknowledged replacements and deletions.
    pub fn counts(&self) -> (u64, u64, u64) {
        (self.read, self.replaced, self.deleted)
    }
}

impl Reader for Drafts {
    fn read_up_to(&self) -> u64 {
        self.read
    }

    fn stored(&mut self, found: &Value) -> Result<(), String> {
        let place = self.read + 1;
        if found["seq"].as_u64() != Some(place) {
            return Err(format!("drafts: place {} comes after {}", found["seq"], self.read));
        }
        self.read = place;
        if found["deleted"] == true {
            let number = self.numbers.get(&place).copied();
            let asked = number.filter(|number| self.drafts[*number as usize].deletion != Deletion::Never);
            let Some(number) = asked else { return Err(format!("drafts: nobody deleted what stood at {place}")) };
            self.drafts[number as usize].deletion = Deletion::Done;
            self.seen.insert(number);
            return Ok(());
        }
        let whole = |key: &str| found["inputs"][key].as_f64().map(|number| number as u64);
        let number = whole("n").filter(|number| *number < self.drafts.len() as u64);
        let Some((number, revision)) = number.zip(whole("revision")) else {
            return Err(format!("drafts: nobody posted what stands at {place}"));
        };
        let draft = &self.drafts[number as usize];
        let said = format!("drafts: example {number} stands at {place} in revision {revision}");
        if draft.deletion == Deletion::Done {
            return Err(format!("{said}, and its deletion was acknowledged"));
        }
        if revision > draft.sent || draft.stored.is_some_and(|stored| revision < stored) {
            return Err(format!("{said}, {:?} must be there and {} was sent", draft.stored, draft.sent));
        }
        let sent = example(number, revision);
        if !same_inputs(&sent["inputs"], &found["inputs"])
            || !same(&sent["label"], &found["label"])
            || sent["id"] != found["id"]
        {
            return Err(format!("{said}, and is not what was sent"));
        }
        if !self.seen.insert(number) {
            return Err(format!("{said}, and at another place too"));
        }
        self.drafts[number as usize].stored = Some(revision);
        self.place(number, place)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A ledger with some of everything acknowledged, and what stands in the stream then.
    fn corrected() -> (Drafts, Vec<Value>) {
        let (mut drafts, mut dice) = (Drafts::new(), Dice::new(5));
        let mut stream: Vec<Value> = Vec::new();
        for _ in 0..400 {
            drafts.next(&mut dice);
            let answer = match drafts.open.clone().unwrap() {
                Change::Post { first, count } => {
                    for number in first..first + count {
                        let mut stored = example(number, 0);
                        stored["seq"] = json!(number + 1);
                        stream.push(stored);
                    }
                    json!({"accepted": count, "duplicates": 0, "first_seq": first + 1})
                }
                Change::Replace(revisions) => {
                    for (number, revision) in &revisions {
                        let mut stored = example(*number, *revision);
                        stored["seq"] = json!(number + 1);
                        stream[*number as usize] = stored;
                    }
                    json!({"accepted": 0, "duplicates": 0, "replaced": revisions.len()})
                }
                Change::Delete { number, .. } => {
                    stream[number as usize] = json!({"seq": number + 1, "deleted": true});
                    stream[number as usize].clone()
                }
                Change::Revive { .. } => json!({"accepted": 0, "duplicates": 1}),
            };
            drafts.answered(200, &answer).unwrap();
        }
        assert!(drafts.replaced > 20 && drafts.deleted > 10);
        (drafts, stream)
    }

    fn read(drafts: &mut Drafts, stream: &[Value]) -> Result<(), String> {
        drafts.read_anew();
        stream.iter().try_for_each(|found| drafts.stored(found))?;
        drafts.complete()
    }

    /// The numbers of examples that a test may change: one that was replaced, one that was deleted.
    fn victims(drafts: &Drafts) -> (usize, usize) {
        let replaced =
            drafts.drafts.iter().position(|draft| draft.stored > Some(0) && draft.deletion == Deletion::Never);
        let deleted = drafts.drafts.iter().position(|draft| draft.deletion == Deletion::Done);
        (replaced.unwrap(), deleted.unwrap())
    }

    #[test]
    fn a_corrected_stream_that_is_whole_has_no_fault_however_often_it_is_read() {
        let (mut drafts, stream) = corrected();
        read(&mut drafts, &stream).unwrap();
        read(&mut drafts, &stream).unwrap();
    }

    #[test]
    fn a_correction_that_is_undone_or_that_nobody_asked_for_is_found() {
        let fault = |change: &dyn Fn(&Drafts, &mut Vec<Value>)| {
            let (mut drafts, mut stream) = corrected();
            change(&drafts, &mut stream);
            read(&mut drafts, &stream).unwrap_err()
        };
        let set = |stream: &mut Vec<Value>, number: usize, mut other: Value| {
            other["seq"] = json!(number + 1);
            stream[number] = other;
        };
        let stale = |drafts: &Drafts, stream: &mut Vec<Value>| {
            let (number, _) = victims(drafts);
            set(stream, number, example(number as u64, drafts.drafts[number].stored.unwrap() - 1));
        };
        assert!(fault(&stale).contains("must be there"));
        let early = |drafts: &Drafts, stream: &mut Vec<Value>| {
            let (number, _) = victims(drafts);
            set(stream, number, example(number as u64, drafts.drafts[number].sent + 1));
        };
        assert!(fault(&early).contains("was sent"));
        let undone = |drafts: &Drafts, stream: &mut Vec<Value>| {
            let (_, number) = victims(drafts);
            set(stream, number, example(number as u64, drafts.drafts[number].sent));
        };
        assert!(fault(&undone).contains("its deletion was acknowledged"));
        let unasked = |_: &Drafts, stream: &mut Vec<Value>| set(stream, 3, json!({"deleted": true}));
        assert!(fault(&unasked).contains("nobody deleted"));
        assert!(fault(&|_, stream| drop(stream.pop())).contains("acknowledged and is gone"));
        assert!(fault(&|_, stream| drop(stream.remove(0))).contains("comes after 0"));
        assert!(fault(&|_, stream| stream[2]["label"] = json!("other")).contains("not what was sent"));
    }

    #[test]
    fn what_has_no_answer_is_sent_again_and_either_outcome_may_stand() {
        let (mut drafts, mut stream) = corrected();
        let mut dice = Dice::new(11);
        let (number, revision) = loop {
            let request = drafts.next(&mut dice);
            if let Some(Change::Replace(revisions)) = &drafts.open {
                break revisions[0];
            }
            let post = request.body.filter(|_| !request.is_correction);
            let count = post.map_or(0, |body| body["examples"].as_array().unwrap().len());
            // Others than replacements are given up; what was posted anew is in nobody's stream then.
            drafts.open = None;
            drafts.drafts.truncate(drafts.drafts.len() - count);
        };
        drafts.drafts.iter_mut().filter(|draft| draft.deletion == Deletion::Asked).for_each(|draft| {
            draft.deletion = Deletion::Never;
        });
        read(&mut drafts, &stream).unwrap();
        assert_eq!(drafts.next(&mut dice).path, "?replace=true", "it is sent again");
        let mut newer = example(number, revision);
        newer["seq"] = json!(number + 1);
        let older = std::mem::replace(&mut stream[number as usize], newer);
        read(&mut drafts, &stream).unwrap();
        stream[number as usize] = older;
        assert!(read(&mut drafts, &stream).unwrap_err().contains("must be there"), "what was seen once stays");
    }
}
