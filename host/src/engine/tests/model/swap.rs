//! Modules that are swapped, go and come back while a case is played.

use std::sync::Arc;

use crate::engine::Retired;
use crate::engine::tests::kit::{CALL_TIMEOUT, Routed, USERS};
use crate::engine::tests::model::play::{Play, name_of};
use crate::engine::tests::model::sight::Broadcast;
use crate::modules::Running;
use crate::modules::puppet::Puppet;

impl Play {
    pub(super) async fn begin_module(&self, number: usize) -> (Arc<Puppet>, Running) {
        let replaces = number == 0 && self.sight.replaces;
        let puppet = self.sight.modules[number].puppet(replaces);
        let module = puppet.start(Arc::clone(&self.clock), CALL_TIMEOUT).await;
        (puppet, module.expect("starts"))
    }

    /// Another generation of a module takes over, while the one before may have calls that run.
    pub(super) async fn take_over(&mut self, number: usize, generation: Option<Broadcast>) {
        let is_there = self
            .sight
            .modules
            .get(number)
            .is_some_and(|module| module.is_attached);
        if !is_there {
            return;
        }
        if let Some(generation) = generation {
            self.forms[number] += 1;
            self.change_module(number, generation);
        }
        let (puppet, module) = self.begin_module(number).await;
        let form = self.forms[number].to_string();
        let taken_over = self.engine().take_over(&name_of(number), &form, module);
        retire(taken_over.unwrap_or_else(|_| panic!("there is one")));
        self.puppets[number] = puppet;
        self.server = Routed::of(self.engine().clone(), self.puppets.clone());
    }

    pub(super) fn detach(&mut self, number: usize) {
        let present = self.sight.modules.get(number).copied();
        if let Some(module) = present.filter(|module| module.is_attached) {
            let gone = Broadcast {
                is_attached: false,
                ..module
            };
            self.change_module(number, gone);
            retire(self.engine().detach(&name_of(number)).expect("there is one"));
        }
    }

    pub(super) async fn reattach(&mut self, number: usize) {
        let present = self.sight.modules.get(number).copied();
        if let Some(module) = present.filter(|module| !module.is_attached) {
            let back = Broadcast {
                is_attached: true,
                ..module
            };
            self.change_module(number, back);
            self.puppets.remove(number);
            self.start_module(number).await;
        }
    }

    /// A module shows others from now on. What it has shown so far may be told again, and what it has routed so far is told.
    fn change_module(&mut self, number: usize, module: Broadcast) {
        for stream in self.streams.values_mut() {
            stream.note_seen(&self.sight);
        }
        let before = std::mem::replace(&mut self.sight.modules[number], module);
        self.shown_before.push(before);
        for stream in self.streams.values_mut() {
            stream.again.extend(0..USERS.len());
            stream.forget_unseen(&self.sight);
        }
    }
}

/// Calls of it that run may go on.
fn retire(retired: Retired) {
    tokio::spawn(retired.end(CALL_TIMEOUT * 4, CALL_TIMEOUT));
}
