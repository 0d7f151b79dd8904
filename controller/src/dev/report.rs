//! What was said already, so that only what is new is said.

use std::collections::BTreeSet;

use super::event::{ConditionLine, Event};
use crate::conditions::{ObjectRef, ObjectStatus, Statuses};
use crate::source::Problem;

#[derive(Default)]
pub(super) struct Report {
    problems: BTreeSet<String>,
    statuses: Statuses,
}

impl Report {
    /// The problems that were not there before. One that is gone and comes back is new again.
    pub(super) fn new_problems(&mut self, problems: Vec<Problem>) -> Vec<String> {
        let now: BTreeSet<String> = problems.iter().map(ToString::to_string).collect();
        let new = problems.iter().map(ToString::to_string).filter(|problem| !self.problems.contains(problem));
        let new = new.collect();
        self.problems = now;
        new
    }

    /// Events for the objects whose conditions changed. A gateway whose Envoys have not answered yet is left out:
    /// what they answer is what matters.
    pub(super) fn changed_conditions(&mut self, statuses: &Statuses) -> Vec<Event> {
        let settled = statuses.0.iter().filter(|(_, status)| !is_pending(status));
        settled.filter_map(|(object, status)| self.say(object, status)).collect()
    }

    /// Forgets the objects that are gone, so that one that comes back is new again.
    pub(super) fn forget_all_but(&mut self, statuses: &Statuses) {
        self.statuses.0.retain(|object, _| statuses.0.contains_key(object));
    }

    /// The problems that there are.
    pub(super) fn problems(&self) -> impl Iterator<Item = &String> {
        self.problems.iter()
    }

    /// What was said last of every object.
    pub(super) fn statuses(&self) -> &Statuses {
        &self.statuses
    }

    fn say(&mut self, object: &ObjectRef, status: &ObjectStatus) -> Option<Event> {
        if self.statuses.0.get(object) == Some(status) {
            return None;
        }
        self.statuses.0.insert(object.clone(), status.clone());
        Some(Event::Conditions {
            kind: object.kind.to_string(),
            namespace: object.key.namespace.clone(),
            name: object.key.name.clone(),
            conditions: lines(status),
        })
    }
}

fn is_pending(status: &ObjectStatus) -> bool {
    let ObjectStatus::Gateway(gateway) = status else { return false };
    let programmed = gateway.conditions.of("Programmed");
    programmed.is_some_and(|condition| ["Pending", "NoProxies"].contains(&condition.reason.as_str()))
}

pub(super) fn lines(status: &ObjectStatus) -> Vec<ConditionLine> {
    let mut lines = Vec::new();
    for (of, conditions) in status.parts() {
        for (kind, condition) in conditions.iter() {
            lines.push(ConditionLine {
                of: Some(of.clone()).filter(|of| !of.is_empty()),
                r#type: kind.to_owned(),
                status: condition.status.as_str().to_owned(),
                reason: condition.reason.clone(),
                message: condition.message.clone(),
            });
        }
    }
    lines
}
