//! The scheduler: tasks have priorities, which change from time to time.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use shuttle::scheduler::{DataSource, RandomDataSource, Schedule, Scheduler, Task, TaskId};

/// Runs the task of the highest priority. Where a task could be interrupted it gets another priority now and then: how often differs from
/// one execution to the next. So one task may stand still in the midst of something while others come a long way, which is what it
/// takes for an answer to be old; an even choice among the tasks would hardly ever let that happen.
pub(super) struct Restless {
    left: usize,
    /// Set when enough was seen.
    pub(super) over: Arc<AtomicBool>,
    random: RandomDataSource,
    choices: RandomDataSource,
    /// A task's priority changes once in so many steps.
    pace: u64,
    priorities: HashMap<TaskId, u64>,
}

impl Restless {
    pub(super) fn new(seed: u64, executions: usize) -> Self {
        Self {
            left: executions,
            over: Arc::default(),
            random: RandomDataSource::initialize(seed),
            choices: RandomDataSource::initialize(!seed),
            pace: 1,
            priorities: HashMap::new(),
        }
    }
}

impl Scheduler for Restless {
    fn new_execution(&mut self) -> Option<Schedule> {
        if self.over.load(Ordering::SeqCst) || self.left == 0 {
            return None;
        }
        self.left -= 1;
        let seed = self.random.reinitialize();
        self.choices.reinitialize();
        self.pace = [1, 4, 16, 64][(self.choices.next_u64() % 4) as usize];
        self.priorities.clear();
        Some(Schedule::new(seed))
    }

    fn next_task(&mut self, runnable: &[&Task], current: Option<TaskId>, is_yielding: bool) -> Option<TaskId> {
        let Self { choices, priorities, pace, .. } = self;
        // Who listens to a feed never ends, and nobody is to stand still for good because of that.
        if choices.next_u64().is_multiple_of(1024) {
            priorities.clear();
        }
        if let Some(current) = current
            && (is_yielding || choices.next_u64().is_multiple_of(*pace))
        {
            priorities.insert(current, choices.next_u64());
        }
        runnable
            .iter()
            .map(|task| task.id())
            .max_by_key(|task| *priorities.entry(*task).or_insert_with(|| choices.next_u64()))
    }

    fn next_u64(&mut self) -> u64 {
        self.random.next_u64()
    }
}
