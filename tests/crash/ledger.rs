//! What was attempted, acknowledged and read back of one learner's stream: acknowledged ⊆ stored ⊆ attempted.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use crate::dice::Dice;
use crate::learners::Subject;

/// What knows which examples may stand in a stream, read from its beginning or on from where it was read before.
pub trait Reader {
    /// Where the stream is to be read on.
    fn read_up_to(&self) -> u64;

    /// What stands at the next place.
    fn stored(&mut self, example: &Value) -> Result<(), String>;
}

/// What became of a request for examples.
#[derive(Debug, Clone, PartialEq)]
enum Outcome {
    /// It is under way.
    Sent,
    /// Nobody knows: it may be stored or not, and is sent again.
    Unknown,
    /// It was acknowledged with this answer, which every repetition must get.
    Answered(Value),
}

#[derive(Debug, Clone)]
struct Request {
    first: u64,
    count: u64,
    outcome: Outcome,
}

/// A request to be sent now.
pub struct Post {
    index: usize,
    pub body: Value,
    pub key: Option<String>,
}

/// The ledger of a learner.
pub struct Ledger {
    subject: Subject,
    /// Examples attempted so far: their numbers are below this.
    attempted: u64,
    requests: Vec<Request>,
    /// Where each example was found in the stream.
    places: BTreeMap<u64, u64>,
    /// The stream was read up to here.
    read: u64,
    /// The largest head that an answer named.
    acked_head: u64,
}

impl Ledger {
    /// Nothing attempted yet.
    pub fn new(subject: Subject) -> Self {
        Self { subject, attempted: 0, requests: Vec::new(), places: BTreeMap::new(), read: 0, acked_head: 0 }
    }

    /// What is sent next: something whose outcome is unknown, something that was acknowledged, or something new.
    pub fn next(&mut self, dice: &mut Dice) -> Post {
        if dice.percent(60)
            && let Some(post) = self.unknown()
        {
            return post;
        }
        let known = self.requests.len() as u64;
        if known > 0 && dice.percent(10) {
            let index = (known - 1 - dice.below(known.min(50))) as usize;
            if matches!(self.requests[index].outcome, Outcome::Answered(_)) {
                return self.post(index);
            }
        }
        let count = 1 + dice.below(12);
        // Examples with ids may come again within another request.
        let back = if self.subject.has_ids() && dice.percent(15) { dice.below(self.attempted.min(20) + 1) } else { 0 };
        let first = self.attempted - back;
        self.attempted = self.attempted.max(first + count);
        self.requests.push(Request { first, count, outcome: Outcome::Sent });
        self.post(self.requests.len() - 1)
    }

    /// The oldest request whose outcome is unknown.
    pub fn unknown(&mut self) -> Option<Post> {
        let index = self.requests.iter().position(|request| request.outcome == Outcome::Unknown)?;
        self.requests[index].outcome = Outcome::Sent;
        Some(self.post(index))
    }

    fn post(&self, index: usize) -> Post {
        let Request { first, count, .. } = self.requests[index];
        let examples: Vec<Value> = (first..first + count).map(|number| self.subject.example(number)).collect();
        let key = self.subject.has_keys().then(|| format!("{}-request-{index}", self.subject.name()));
        Post { index, body: json!({ "examples": examples }), key }
    }

    /// The server was gone before it answered.
    pub fn lost(&mut self, post: &Post) {
        let outcome = &mut self.requests[post.index].outcome;
        if *outcome == Outcome::Sent {
            *outcome = Outcome::Unknown;
        }
    }

    /// The server answered.
    pub fn answered(&mut self, post: &Post, status: u16, answer: &Value) -> Result<(), String> {
        let name = self.subject.name();
        match status {
            200 => {}
            429 | 503 => {
                self.lost(post);
                return Ok(());
            }
            _ => return Err(format!("{name}: examples were answered {status}: {answer}")),
        }
        let request = &mut self.requests[post.index];
        let number = |key: &str| answer[key].as_u64();
        let (accepted, duplicates) = (number("accepted").unwrap_or(0), number("duplicates").unwrap_or(0));
        if accepted + duplicates != request.count {
            return Err(format!("{name}: {} examples were answered {answer}", request.count));
        }
        if accepted > 0
            && number("last_seq").zip(number("first_seq")).map(|(last, first)| last + 1 - first) != Some(accepted)
        {
            return Err(format!("{name}: places that are not dense: {answer}"));
        }
        match &request.outcome {
            // Without a key a repetition is answered anew: everything of it is known by its id.
            Outcome::Answered(_) if post.key.is_none() && accepted > 0 => {
                return Err(format!("{name}: acknowledged examples were accepted again: {answer}"));
            }
            Outcome::Answered(first) if post.key.is_some() && first != answer => {
                return Err(format!("{name}: a repetition was answered {answer}, at first {first}"));
            }
            Outcome::Answered(_) => {}
            Outcome::Sent | Outcome::Unknown => request.outcome = Outcome::Answered(answer.clone()),
        }
        self.acked_head = self.acked_head.max(number("head_seq").unwrap_or(0));
        Ok(())
    }

    /// The whole stream was read: everything acknowledged must have been in it, where its answer says.
    pub fn complete(&self) -> Result<(), String> {
        let name = self.subject.name();
        if self.read < self.acked_head {
            return Err(format!("{name}: the stream ends at {}, an answer named {}", self.read, self.acked_head));
        }
        for (index, request) in self.requests.iter().enumerate() {
            let Outcome::Answered(answer) = &request.outcome else { continue };
            let numbers = request.first..request.first + request.count;
            let places: Vec<Option<u64>> = numbers.clone().map(|number| self.places.get(&number).copied()).collect();
            if let Some(gone) = numbers.zip(&places).find(|(_, place)| place.is_none()) {
                return Err(format!("{name}: example {} was acknowledged and is gone", gone.0));
            }
            let (Some(first), Some(last)) = (answer["first_seq"].as_u64(), answer["last_seq"].as_u64()) else {
                continue;
            };
            let here: Vec<u64> = places.into_iter().flatten().filter(|place| (first..=last).contains(place)).collect();
            if here != (first..=last).collect::<Vec<u64>>() {
                return Err(format!("{name}: request {index} was answered {answer}, its examples stand at {here:?}"));
            }
        }
        Ok(())
    }

    /// Examples in the stream, and requests.
    pub fn counts(&self) -> (u64, usize) {
        (self.read, self.requests.len())
    }
}

impl Reader for Ledger {
    fn read_up_to(&self) -> u64 {
        self.read
    }

    fn stored(&mut self, example: &Value) -> Result<(), String> {
        let name = self.subject.name();
        let seq = example["seq"].as_u64();
        if seq != Some(self.read + 1) {
            return Err(format!("{name}: place {seq:?} comes after {}", self.read));
        }
        self.read += 1;
        let number = self.subject.number_of(example).filter(|number| *number < self.attempted);
        let Some(number) = number else { return Err(format!("{name}: nobody posted what stands at {}", self.read)) };
        if let Some(before) = self.places.insert(number, self.read) {
            return Err(format!("{name}: example {number} stands at {before} and at {}", self.read));
        }
        let posted = self.subject.example(number);
        let whole = same_inputs(&posted["inputs"], &example["inputs"]) && same(&posted["label"], &example["label"]);
        if whole { Ok(()) } else { Err(format!("{name}: example {number} is not what was posted")) }
    }
}

/// Everything that was posted came back; what a growth added since is missing.
pub fn same_inputs(posted: &Value, stored: &Value) -> bool {
    let (Some(posted), Some(stored)) = (posted.as_object(), stored.as_object()) else { return false };
    posted.iter().all(|(key, value)| stored.get(key).is_some_and(|other| same(value, other)))
        && stored.iter().all(|(key, value)| posted.contains_key(key) || value.is_null())
}

/// The same value: 1 and 1.0 are one number.
pub fn same(one: &Value, other: &Value) -> bool {
    match (one, other) {
        (Value::Number(one), Value::Number(other)) => one.as_f64() == other.as_f64(),
        (Value::Array(ones), Value::Array(others)) => {
            ones.len() == others.len() && ones.iter().zip(others).all(|(one, other)| same(one, other))
        }
        (one, other) => one == other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A ledger of one request, acknowledged as the first of its stream, and the examples that are stored then.
    fn acknowledged(subject: Subject) -> (Ledger, Vec<Value>) {
        let mut ledger = Ledger::new(subject);
        let post = ledger.next(&mut Dice::new(3));
        let count = post.body["examples"].as_array().unwrap().len() as u64;
        let answer = json!({"accepted": count, "duplicates": 0, "first_seq": 1, "last_seq": count, "head_seq": count});
        ledger.answered(&post, 200, &answer).unwrap();
        let stored = (0..count).map(|number| {
            let mut example = subject.example(number);
            example["seq"] = json!(number + 1);
            example["inputs"]["added later"] = Value::Null;
            example
        });
        let stored: Vec<Value> = stored.collect();
        assert!(stored.len() > 1);
        (ledger, stored)
    }

    fn read(ledger: &mut Ledger, stored: &[Value]) -> Result<(), String> {
        stored.iter().try_for_each(|example| ledger.stored(example))?;
        ledger.complete()
    }

    #[test]
    fn a_stream_that_is_whole_has_no_fault() {
        for subject in crate::learners::STREAMS {
            let (mut ledger, stored) = acknowledged(subject);
            read(&mut ledger, &stored).unwrap();
        }
    }

    #[test]
    fn what_is_lost_doubled_moved_or_changed_is_found() {
        for subject in crate::learners::STREAMS {
            let fault = |change: &dyn Fn(&mut Vec<Value>)| {
                let (mut ledger, mut stored) = acknowledged(subject);
                change(&mut stored);
                read(&mut ledger, &stored).unwrap_err()
            };
            assert!(fault(&|stored| drop(stored.pop())).contains("an answer named"));
            assert!(fault(&|stored| drop(stored.remove(0))).contains("comes after 0"));
            assert!(fault(&|stored| stored[1]["label"] = json!("another")).contains("not what was posted"));
            let twice = |stored: &mut Vec<Value>| {
                let mut again = stored[0].clone();
                again["seq"] = json!(stored.len() + 1);
                stored.push(again);
            };
            assert!(fault(&twice).contains("stands at 1 and at"));
            let swapped = |stored: &mut Vec<Value>| {
                let (first, second) = (stored[0]["seq"].clone(), stored[1]["seq"].clone());
                (stored[0]["seq"], stored[1]["seq"]) = (second, first);
                stored.swap(0, 1);
            };
            assert!(fault(&swapped).contains("its examples stand at"));
        }
    }

    #[test]
    fn a_repetition_with_another_answer_is_found() {
        let (mut ledger, _) = acknowledged(Subject::Prices);
        let again = ledger.post(0);
        let count = ledger.requests[0].count;
        let other = json!({"accepted": count, "duplicates": 0, "first_seq": 9, "last_seq": 8 + count, "head_seq": 20});
        assert!(ledger.answered(&again, 200, &other).unwrap_err().contains("at first"));
        assert!(ledger.answered(&again, 500, &json!({})).unwrap_err().contains("answered 500"));
    }
}
