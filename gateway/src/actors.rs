//! What all actors share.

use actix::{Message, Recipient};

/// Answers a request, or pushes what a credit window allows.
///
/// actix does not bound what `do_send` queues, so this is for messages that are bounded by what they answer: one
/// `SendSettled` for each `Send` within the window, one `Persisted` for each `Persist`, deliveries within the credit.
/// A receiver that is gone needs no answer.
pub(crate) fn reply<M>(to: &Recipient<M>, message: M)
where
    M: Message + Send + 'static,
    M::Result: Send,
{
    #[expect(clippy::disallowed_methods, reason = "bounded by the request that it answers")]
    to.do_send(message);
}

/// Of an actor that a node has one of, called when it stops: a panic that ends it ends the node.
///
/// Nobody could go on without it: a node without its queue writer would tell everybody to retry, for ever. What was
/// accepted is on a disk, and whatever runs the node starts it again.
pub(crate) fn end_node_after_panic(actor: &'static str) {
    if std::thread::panicking() {
        tracing::error!(actor, "a panic has ended what the node cannot be without; it ends to be started again");
        std::process::abort();
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::process::ExitStatusExt as _;

    use actix::{Actor, Context, Handler};

    use super::*;

    const IN_CHILD: &str = "TEST_OF_A_PANIC";
    const SIGABRT: i32 = 6;

    struct Single;
    impl Actor for Single {
        type Context = Context<Self>;
        fn stopped(&mut self, _: &mut Self::Context) {
            end_node_after_panic("single");
        }
    }
    #[derive(Message)]
    #[rtype(result = "()")]
    struct Stumble;
    impl Handler<Stumble> for Single {
        type Result = ();
        fn handle(&mut self, _: Stumble, _: &mut Self::Context) {
            panic!("in a handler");
        }
    }

    #[test]
    fn a_node_does_not_outlive_an_actor_that_it_has_one_of() {
        if std::env::var_os(IN_CHILD).is_some() {
            actix_web::rt::System::new().block_on(async {
                let _gone = Single.start().send(Stumble).await;
            });
            return;
        }
        let mut child = crate::child::command(&std::env::current_exe().unwrap());
        child
            .args(["--exact", "actors::tests::a_node_does_not_outlive_an_actor_that_it_has_one_of"])
            .env(IN_CHILD, "1");
        let ended = child.output().unwrap();
        assert_eq!(ended.status.signal(), Some(SIGABRT), "{ended:?}");
    }
}
