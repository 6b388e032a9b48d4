//! The context of an actor that is one WebSocket: the actor, what it reads and what it writes are one task.
//!
//! It offers what `actix_web_actors::ws::WebsocketContext` does, whose actor is the body of an HTTP response. Here there is no
//! HTTP in between: what is read is handed to the actor from a buffer that a thread has once, and what the actor writes in
//! one turn is one write. An idle connection has no buffers.
//!
//! The actor runs only while the socket has taken what it wrote before. A reader that stops reading therefore stops its own
//! actor, and with it the reading of its own frames.

use std::cell::RefCell;
use std::io;
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::task::{Context as TaskContext, Poll, ready};
use std::time::Duration;

use actix::dev::{AsyncContextParts, ContextFut, ContextParts, Envelope, Mailbox, ToEnvelope};
use actix::{
    Actor, ActorContext, ActorState, Addr, AsyncContext, Handler, Message as ActixMessage, SpawnHandle, StreamHandler,
};
use actix_codec::{Decoder as _, Encoder as _};
use actix_http::ws::{CloseReason, Codec, Frame, Message, ProtocolError};
use actix_web::rt::time::timeout;
use bytes::{Buf as _, Bytes, BytesMut};
use futures_util::Stream;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, ReadBuf};
use tokio::sync::oneshot;

/// Bytes that are read at one time: what TLS opens at one time.
const READ: usize = super::tls::SCRATCH;
/// A larger buffer for writing is not kept: a few long messages need it, and all threads would have one.
const SCRATCH_OUT_MAX: usize = 256 * 1024;
/// What the last words and the client's own goodbye may take.
const GOODBYE_MAX: Duration = Duration::from_secs(5);

thread_local! {
    /// Buffers of all connections of a thread, for one turn each: they have grown to what they need, and are empty.
    static SCRATCH_IN: RefCell<BytesMut> = RefCell::new(BytesMut::new());
    static SCRATCH_OUT: RefCell<Vec<u8>> = const { RefCell::new(Vec::new()) };
}

/// What an actor on a socket is told with each message, and how it answers.
pub(super) struct SocketContext<A>
where
    A: Actor<Context = SocketContext<A>>,
{
    inner: ContextParts<A>,
    /// As it goes out, in the thread's buffer.
    said: Vec<u8>,
}

impl<A> SocketContext<A>
where
    A: Actor<Context = Self>,
{
    /// Writes a binary message.
    pub(super) fn binary(&mut self, message: &[u8]) {
        self.binary_in_place(message.len(), |out| {
            out.extend_from_slice(message);
            true
        });
    }

    /// Writes a binary message of this length, which is appended where it goes out from. `false` takes it back.
    pub(super) fn binary_in_place(&mut self, length: usize, append: impl FnOnce(&mut Vec<u8>) -> bool) -> bool {
        let out = self.out();
        let begin = out.len();
        put_head(out, length);
        let end = out.len() + length;
        let said = append(out);
        debug_assert!(!said || out.len() == end, "{} bytes of {length}", out.len() - begin);
        if !said {
            out.truncate(begin);
        }
        said
    }

    pub(super) fn ping(&mut self) {
        self.control(Message::Ping(Bytes::new()));
    }

    pub(super) fn pong(&mut self, payload: Bytes) {
        self.control(Message::Pong(payload));
    }

    pub(super) fn close(&mut self, reason: Option<CloseReason>) {
        self.control(Message::Close(reason));
    }

    fn control(&mut self, message: Message) {
        let mut frame = BytesMut::new();
        // These are short, and none is in the middle of another.
        if Codec::new().encode(message, &mut frame).is_ok() {
            self.out().extend_from_slice(&frame);
        }
    }

    fn out(&mut self) -> &mut Vec<u8> {
        if self.said.capacity() == 0 {
            self.said = SCRATCH_OUT.take();
        }
        &mut self.said
    }
}

/// The head of a whole binary message of a server. RFC 6455, section 5.2.
fn put_head(out: &mut Vec<u8>, length: usize) {
    const WHOLE_BINARY: u8 = 0x82;
    out.push(WHOLE_BINARY);
    match (u8::try_from(length), u16::try_from(length)) {
        (Ok(short @ 0..126), _) => out.push(short),
        (_, Ok(middle)) => {
            out.push(126);
            out.extend_from_slice(&middle.to_be_bytes());
        }
        _ => {
            out.push(127);
            out.extend_from_slice(&(length as u64).to_be_bytes());
        }
    }
}

/// Runs an actor on a socket, from what was read of it already to its end.
///
/// On the heap, once: a future that holds an actor has room for it in each of its steps.
pub(super) fn run<A, T>(actor: A, io: T, read: BytesMut, codec: Codec) -> impl Future<Output = ()>
where
    A: Actor<Context = SocketContext<A>> + StreamHandler<Result<Message, ProtocolError>>,
    T: AsyncRead + AsyncWrite + Unpin + 'static,
{
    let mailbox = Mailbox::default();
    let mut context = SocketContext { inner: ContextParts::new(mailbox.sender_producer()), said: Vec::new() };
    let io = Rc::new(RefCell::new(io));
    let incoming = Incoming { io: Rc::clone(&io), codec, rest: Rest::Messages(read), ended: false };
    <A as StreamHandler<Result<Message, ProtocolError>>>::add_stream(incoming, &mut context);
    let actor = ContextFut::new(context, actor, mailbox);
    let mut turns = Box::new(Turns { actor, io, out: Bytes::new() });
    async move {
        if std::future::poll_fn(|cx| turns.poll(cx)).await.is_err() {
            return; // the socket is broken; dropping the actor tells it
        }
        let io = Rc::clone(&turns.io);
        drop(turns);
        // Unless the client hears the end before its own unread words are thrown away, it may not hear the last ones.
        let goodbye = timeout(GOODBYE_MAX, std::future::poll_fn(|cx| poll_goodbye(&io, cx)));
        let _ = Box::pin(goodbye).await;
    }
}

/// An actor and the way out.
struct Turns<A, T>
where
    A: Actor<Context = SocketContext<A>>,
{
    actor: ContextFut<A, SocketContext<A>>,
    io: Rc<RefCell<T>>,
    /// What the socket has not taken yet.
    out: Bytes,
}

impl<A, T> Turns<A, T>
where
    A: Actor<Context = SocketContext<A>>,
    T: AsyncWrite + Unpin,
{
    /// Ready when the actor has stopped and all it said is on its way.
    fn poll(&mut self, cx: &mut TaskContext<'_>) -> Poll<io::Result<()>> {
        ready!(self.poll_write(cx))?;
        if self.actor.alive() {
            let _ = Pin::new(&mut self.actor).poll(cx);
            ready!(self.poll_write(cx))?;
        }
        if self.actor.alive() { Poll::Pending } else { Poll::Ready(Ok(())) }
    }

    /// Ready when the socket has taken everything.
    fn poll_write(&mut self, cx: &mut TaskContext<'_>) -> Poll<io::Result<()>> {
        let mut io = self.io.borrow_mut();
        if !self.out.is_empty() {
            let written = poll_write_from(&mut *io, &self.out, cx)?;
            self.out.advance(written);
            if !self.out.is_empty() {
                return Poll::Pending;
            }
            self.out = Bytes::new();
        }
        let said = &mut self.actor.ctx().said;
        if said.capacity() > 0 {
            let mut said = std::mem::take(said);
            let written = poll_write_from(&mut *io, &said, cx)?;
            // Only what is left, so that the buffer goes to the others.
            self.out = Bytes::copy_from_slice(said.get(written..).unwrap_or_default());
            said.clear();
            if said.capacity() <= SCRATCH_OUT_MAX {
                SCRATCH_OUT.set(said);
            }
            if !self.out.is_empty() {
                return Poll::Pending;
            }
        }
        Pin::new(&mut *io).poll_flush(cx)
    }
}

/// Writes until the socket takes nothing more; gives how much it took.
fn poll_write_from<T: AsyncWrite + Unpin>(io: &mut T, bytes: &[u8], cx: &mut TaskContext<'_>) -> io::Result<usize> {
    let mut written = 0;
    while let Some(rest @ [_, ..]) = bytes.get(written..)
        && let Poll::Ready(taken) = Pin::new(&mut *io).poll_write(cx, rest)?
    {
        if taken == 0 {
            return Err(io::ErrorKind::WriteZero.into());
        }
        written += taken;
    }
    Ok(written)
}

/// Ends our direction, and reads until the client has ended its own.
fn poll_goodbye<T: AsyncRead + AsyncWrite + Unpin>(io: &RefCell<T>, cx: &mut TaskContext<'_>) -> Poll<io::Result<()>> {
    let mut io = io.borrow_mut();
    ready!(Pin::new(&mut *io).poll_shutdown(cx))?;
    loop {
        let mut unheard = [0; 1024];
        let mut buffer = ReadBuf::new(&mut unheard);
        ready!(Pin::new(&mut *io).poll_read(cx, &mut buffer))?;
        if buffer.filled().is_empty() {
            return Poll::Ready(Ok(()));
        }
    }
}

/// Messages as they arrive.
struct Incoming<T> {
    io: Rc<RefCell<T>>,
    codec: Codec,
    rest: Rest,
    ended: bool,
}

/// Read, and not handed over yet.
enum Rest {
    /// The thread's buffer, in which there may be messages.
    Messages(BytesMut),
    /// Nothing, or the beginning of a message.
    Part(Box<[u8]>),
}

impl<T: AsyncRead + Unpin> Incoming<T> {
    /// `None` when there is nothing more for now, or ever.
    fn decode(&mut self, buffer: &mut BytesMut) -> Option<Result<Message, ProtocolError>> {
        match self.codec.decode(buffer) {
            Ok(None) => None,
            Ok(Some(frame)) => Some(Ok(match frame {
                // One frame is one unfragmented binary message; what a text says does not matter.
                Frame::Text(_) => Message::Text(Default::default()),
                Frame::Binary(bytes) => Message::Binary(bytes),
                Frame::Continuation(item) => Message::Continuation(item),
                Frame::Ping(payload) => Message::Ping(payload),
                Frame::Pong(payload) => Message::Pong(payload),
                Frame::Close(reason) => Message::Close(reason),
            })),
            Err(error) => {
                self.ended = true;
                Some(Err(error))
            }
        }
    }
}

impl<T: AsyncRead + Unpin> Stream for Incoming<T> {
    type Item = Result<Message, ProtocolError>;

    fn poll_next(self: Pin<&mut Self>, cx: &mut TaskContext<'_>) -> Poll<Option<Self::Item>> {
        let this = self.get_mut();
        // Whether there may be a message in the buffer.
        let (mut buffer, mut fresh) = match &mut this.rest {
            Rest::Messages(buffer) => (std::mem::take(buffer), true),
            Rest::Part(part) => {
                let mut buffer = SCRATCH_IN.take();
                buffer.extend_from_slice(part);
                (buffer, false)
            }
        };
        let polled = loop {
            if fresh && let Some(message) = this.decode(&mut buffer) {
                break Poll::Ready(Some(message));
            }
            if this.ended {
                break Poll::Ready(None);
            }
            buffer.reserve(READ);
            let mut io = this.io.borrow_mut();
            match pin!(io.read_buf(&mut buffer)).poll(cx) {
                Poll::Pending => break Poll::Pending,
                Poll::Ready(Ok(0)) => this.ended = true,
                Poll::Ready(Ok(_)) => fresh = true,
                Poll::Ready(Err(error)) => {
                    this.ended = true;
                    break Poll::Ready(Some(Err(ProtocolError::Io(error))));
                }
            }
        };
        if polled.is_ready() && !buffer.is_empty() {
            this.rest = Rest::Messages(buffer);
            return polled;
        }
        // Nothing is here, or a part: only that is kept, so that the buffer goes to the others.
        if fresh {
            this.rest = Rest::Part(buffer.as_ref().into());
        }
        buffer.clear();
        SCRATCH_IN.set(buffer);
        polled
    }
}

impl<A> ActorContext for SocketContext<A>
where
    A: Actor<Context = Self>,
{
    fn stop(&mut self) {
        self.inner.stop();
    }
    fn terminate(&mut self) {
        self.inner.terminate();
    }
    fn state(&self) -> ActorState {
        self.inner.state()
    }
}

impl<A> AsyncContext<A> for SocketContext<A>
where
    A: Actor<Context = Self>,
{
    fn spawn<F>(&mut self, future: F) -> SpawnHandle
    where
        F: actix::ActorFuture<A, Output = ()> + 'static,
    {
        self.inner.spawn(future)
    }
    fn wait<F>(&mut self, future: F)
    where
        F: actix::ActorFuture<A, Output = ()> + 'static,
    {
        self.inner.wait(future);
    }
    fn waiting(&self) -> bool {
        self.inner.waiting() || matches!(self.inner.state(), ActorState::Stopping | ActorState::Stopped)
    }
    fn cancel_future(&mut self, handle: SpawnHandle) -> bool {
        self.inner.cancel_future(handle)
    }
    fn address(&self) -> Addr<A> {
        self.inner.address()
    }
}

impl<A> AsyncContextParts<A> for SocketContext<A>
where
    A: Actor<Context = Self>,
{
    fn parts(&mut self) -> &mut ContextParts<A> {
        &mut self.inner
    }
}

impl<A, M> ToEnvelope<A, M> for SocketContext<A>
where
    A: Actor<Context = Self> + Handler<M>,
    M: ActixMessage + Send + 'static,
    M::Result: Send,
{
    fn pack(message: M, answer: Option<oneshot::Sender<M::Result>>) -> Envelope<A> {
        Envelope::new(message, answer)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};

    use actix_http::ws::CloseCode;
    use tokio::io::{AsyncWriteExt as _, DuplexStream, duplex};

    use super::*;

    /// Says everything again; says goodbye to an empty message.
    struct Echo {
        heard: Arc<AtomicUsize>,
        stopped: Arc<AtomicUsize>,
    }
    impl Actor for Echo {
        type Context = SocketContext<Self>;
        fn stopped(&mut self, _: &mut Self::Context) {
            self.stopped.fetch_add(1, Ordering::SeqCst);
        }
    }
    impl StreamHandler<Result<Message, ProtocolError>> for Echo {
        fn handle(&mut self, message: Result<Message, ProtocolError>, ctx: &mut Self::Context) {
            match message {
                Ok(Message::Binary(bytes)) if bytes.is_empty() => {
                    ctx.close(Some(CloseCode::Normal.into()));
                    ctx.stop();
                }
                Ok(Message::Binary(bytes)) => {
                    self.heard.fetch_add(1, Ordering::SeqCst);
                    ctx.binary(&bytes);
                }
                Ok(_) => {}
                Err(_) => ctx.stop(),
            }
        }
    }

    /// Counts of what the actor heard and how often it stopped.
    type Counts = (Arc<AtomicUsize>, Arc<AtomicUsize>);

    fn echo(pipe: usize) -> (DuplexStream, Counts, impl Future<Output = ()>) {
        let (client, server) = duplex(pipe);
        let (heard, stopped) = Counts::default();
        let actor = Echo { heard: heard.clone(), stopped: stopped.clone() };
        (client, (heard, stopped), run(actor, server, BytesMut::new(), Codec::new().max_size(1 << 20)))
    }

    fn encoded(messages: impl IntoIterator<Item = Message>) -> BytesMut {
        let (mut codec, mut bytes) = (Codec::new().client_mode(), BytesMut::new());
        messages.into_iter().for_each(|message| codec.encode(message, &mut bytes).unwrap());
        bytes
    }

    async fn next(client: &mut DuplexStream, buffer: &mut BytesMut) -> Option<Frame> {
        let mut codec = Codec::new().client_mode().max_size(1 << 20);
        loop {
            if let Some(frame) = codec.decode(buffer).unwrap() {
                return Some(frame);
            }
            if client.read_buf(buffer).await.unwrap() == 0 {
                return None;
            }
        }
    }

    fn on_a_worker(test: impl Future<Output = ()>) {
        actix_web::rt::System::new().block_on(test);
    }

    #[test]
    fn messages_of_any_length_come_whole_and_in_order_whatever_the_pieces() {
        on_a_worker(async {
            for pipe in [1, 61, 70_000] {
                let (client, (heard, stopped), run) = echo(pipe);
                let lengths = [1, 125, 126, 20, 65_535, 65_536, 3, 100_000, 7];
                let messages = lengths.iter().map(|length| Message::Binary(vec![*length as u8; *length].into()));
                let said = encoded(messages.chain([Message::Binary(Bytes::new())]));
                let running = actix_web::rt::spawn(run);
                let (mut back, mut out) = tokio::io::split(client);
                let saying = actix_web::rt::spawn(async move {
                    out.write_all(&said).await.unwrap();
                    out
                });
                let mut codec = Codec::new().client_mode().max_size(1 << 20);
                let mut buffer = BytesMut::new();
                let mut echoed = Vec::new();
                while back.read_buf(&mut buffer).await.unwrap() > 0 {
                    while let Some(frame) = codec.decode(&mut buffer).unwrap() {
                        echoed.push(frame);
                    }
                }
                let Some(Frame::Close(Some(_))) = echoed.pop() else { panic!("its last word") };
                let echoed: Vec<_> = echoed
                    .iter()
                    .map(|frame| match frame {
                        Frame::Binary(bytes) => bytes.len(),
                        other => panic!("{other:?}"),
                    })
                    .collect();
                assert_eq!(echoed, lengths);
                assert_eq!((heard.load(Ordering::SeqCst), stopped.load(Ordering::SeqCst)), (lengths.len(), 1));
                drop((back, saying.await.unwrap()));
                running.await.unwrap();
            }
        });
    }

    #[test]
    fn a_reader_that_stops_reading_stops_its_actor() {
        on_a_worker(async {
            let (mut client, (heard, _), run) = echo(64 * 1024);
            let message = || Message::Binary(vec![1; 16 * 1024].into());
            let running = actix_web::rt::spawn(run);
            let all = encoded((0..64).map(|_| message()));
            // What is written and what is echoed fill both pipes; the rest stays with the client.
            let wrote = timeout(Duration::from_secs(1), client.write_all(&all)).await;
            assert!(wrote.is_err(), "nobody takes a megabyte of a client that reads nothing");
            assert!(heard.load(Ordering::SeqCst) < 32);
            let mut buffer = BytesMut::new();
            assert!(
                matches!(next(&mut client, &mut buffer).await, Some(Frame::Binary(_))),
                "it goes on when it is read"
            );
            running.abort();
        });
    }

    #[test]
    fn an_actor_hears_of_the_end_of_its_socket() {
        on_a_worker(async {
            let (client, (_, stopped), run) = echo(1024);
            let running = actix_web::rt::spawn(run);
            drop(client);
            running.await.unwrap();
            assert_eq!(stopped.load(Ordering::SeqCst), 1);
        });
    }
}
