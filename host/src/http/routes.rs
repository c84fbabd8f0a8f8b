//! Routes, and their patterns. Knows no endpoint.
//!
//! axum's router does not tell which patterns it has. They are kept beside it, so that the [`Front`](crate::http::front::Front)
//! can name the route of a request before the router has it.

use axum::Router;
use axum::handler::Handler;
use axum::routing::MethodRouter;

/// axum's router, with the patterns of its routes.
pub(super) struct Routes<S = ()> {
    router: Router<S>,
    patterns: Vec<Box<str>>,
}

impl<S: Clone + Send + Sync + 'static> Routes<S> {
    /// None.
    pub(super) fn new() -> Self {
        Self {
            router: Router::new(),
            patterns: Vec::new(),
        }
    }

    /// These, and a route more.
    pub(super) fn route(mut self, pattern: &str, methods: MethodRouter<S>) -> Self {
        self.router = self.router.route(pattern, methods);
        self.patterns.push(pattern.into());
        self
    }

    /// These, and others.
    pub(super) fn merge(mut self, other: Self) -> Self {
        self.router = self.router.merge(other.router);
        self.patterns.extend(other.patterns);
        self
    }

    /// These, with what their handlers work with.
    pub(super) fn with_state(self, state: S) -> Routes {
        Routes {
            router: self.router.with_state(state),
            patterns: self.patterns,
        }
    }

    /// These, with the answers to unknown paths and to methods that a known path does not have.
    pub(super) fn or_else<T: 'static, U: 'static>(
        mut self,
        unknown: impl Handler<T, S>,
        not_allowed: impl Handler<U, S>,
    ) -> Self {
        self.router = self
            .router
            .fallback(unknown)
            .method_not_allowed_fallback(not_allowed);
        self
    }
}

impl Routes {
    /// The router, and the patterns of its routes.
    pub(super) fn into_parts(self) -> (Router, Vec<Box<str>>) {
        (self.router, self.patterns)
    }
}
