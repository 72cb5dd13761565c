package sftp

import (
	"bufio"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"sync"
	"sync/atomic"
	"time"
)

// Client is one SFTP session. Its methods are safe for concurrent use.
type Client struct {
	stream     io.ReadWriteCloser
	in         *bufio.Reader
	extensions map[string]string
	limits     struct {
		call   *call // nil where the server has no limits to tell
		answer chan *call
	}
	buffers sync.Pool // of *[]byte, for data

	mu      sync.Mutex
	nextID  uint32
	calls   map[uint32]*call // without an answer
	queue   []packet         // to be written
	wake    sync.Cond        // of the writer
	err     error            // why the session is over
	over    chan struct{}    // closed then
	watch   *time.Timer
	patient int // of calls that may take long

	active atomic.Int64 // when something was last read or written, since began
	began  time.Time
	done   chan struct{}
}

// Budgets of an answer. What counts is the time in which nothing at all comes
// or goes, not how long a request takes.
const (
	patience     = 30 * time.Second
	longPatience = 10 * time.Minute // for what may have to wait for a disk
)

// ErrClosed is the end of a session by [Client.Close].
var ErrClosed = errors.New("the SFTP session was closed")

// ErrSilent is the end of a session whose server answers nothing.
var ErrSilent = errors.New("the SFTP server does not answer")

// call is a request that waits for its answer.
type call struct {
	id        uint32
	want      byte         // the type of the answer, where it is no status
	most      int          // bytes of data
	patient   bool         // may take long
	finished  chan<- *call // has room
	abandoned bool         // nobody waits; guarded by Client.mu

	offset int64 // of a read or write
	length int
	probe  bool // looks for more where a file should end
	acked  bool
	kind   byte // of the answer, or 0
	body   []byte
	buffer *[]byte // that body is part of
	err    error
}

// packet is a request on its way out.
type packet struct {
	head request
	data []byte
	sent func() // called once when data is no longer needed; may be nil
}

// New begins a session on a stream, which is closed when the session ends. The
// end of ctx during New ends it; later it is without effect.
func New(ctx context.Context, stream io.ReadWriteCloser) (*Client, error) {
	c := &Client{
		stream: stream, in: bufio.NewReaderSize(stream, 32<<10), calls: map[uint32]*call{},
		over: make(chan struct{}), done: make(chan struct{}), began: time.Now(), extensions: map[string]string{},
	}
	c.wake.L = &c.mu
	c.buffers.New = func() any { return new([]byte) }
	c.mu.Lock()
	c.calls[0] = &call{} // the greeting, which the watch is to look at
	c.watch = time.AfterFunc(patience, c.check)
	c.mu.Unlock()
	stop := context.AfterFunc(ctx, func() { c.fail(context.Cause(ctx)) })
	greeted := make(chan error, 1)
	var left atomic.Int32
	run := func(work func()) {
		left.Add(1)
		go func() { // ends with the session
			work()
			if left.Add(-1) == 0 {
				close(c.done)
			}
		}()
	}
	left.Add(1) // until both are started
	run(func() {
		err := c.greet()
		greeted <- err
		for err == nil {
			err = c.receive()
		}
		c.fail(err)
	})
	run(c.send)
	left.Add(-1)
	var err error
	select {
	case err = <-greeted:
	case <-c.over:
		err = c.err
	}
	if !stop() && ctx.Err() != nil {
		err = context.Cause(ctx)
	}
	if err != nil {
		c.fail(err)
		return nil, err
	}
	if c.Has("limits@openssh.com") {
		c.limits.call, c.limits.answer = c.begin(newRequest(typeExtended).string("limits@openssh.com"), typeExtendedReply)
	}
	return c, nil
}

// greet agrees on the version (draft-ietf-secsh-filexfer-02 §4).
func (c *Client) greet() error {
	init := binary.BigEndian.AppendUint32([]byte{0, 0, 0, 5, typeInit}, version)
	c.mu.Lock()
	c.queue = append(c.queue, packet{head: init})
	c.wake.Signal()
	c.mu.Unlock()
	var head [5]byte
	if _, err := io.ReadFull(c.in, head[:]); err != nil {
		return ended(err)
	}
	c.alive()
	n := binary.BigEndian.Uint32(head[:])
	if n < 5 || n > maxPacket || head[4] != typeVersion {
		more, _ := c.in.Peek(min(c.in.Buffered(), 100))
		return protocolErrorf("it begins with %s; does a start-up file of the account print something?", clip(string(head[:])+string(more)))
	}
	body := make([]byte, n-1)
	if _, err := io.ReadFull(c.in, body); err != nil {
		return ended(err)
	}
	f := fields{rest: body}
	if v := f.uint32(); v < version {
		return protocolErrorf("version %d instead of %d", v, version)
	}
	for len(f.rest) > 0 && !f.bad {
		name := f.string()
		c.extensions[name] = f.string()
	}
	c.mu.Lock()
	delete(c.calls, 0)
	c.nextID = 1
	c.mu.Unlock()
	return f.end("its version")
}

// Has reports whether the server offers an extension, such as
// "posix-rename@openssh.com".
func (c *Client) Has(extension string) bool {
	_, ok := c.extensions[extension]
	return ok
}

// Close ends the session. Requests under way fail with [ErrClosed].
func (c *Client) Close() error {
	c.fail(ErrClosed)
	return nil
}

// Done is closed when the session is over and nothing of it is at work any
// more. That may need the end of the stream from the other side.
func (c *Client) Done() <-chan struct{} { return c.done }

// Err returns why the session is over, or nil.
func (c *Client) Err() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.err
}

// fail ends the session for a reason.
func (c *Client) fail(err error) {
	c.mu.Lock()
	if c.err != nil {
		c.mu.Unlock()
		return
	}
	c.err = err
	c.watch.Stop()
	for _, k := range c.calls {
		if k.finished != nil && !k.abandoned {
			k.err = err
			k.finished <- k
		}
	}
	clear(c.calls)
	close(c.over)
	c.wake.Broadcast()
	c.mu.Unlock()
	c.stream.Close()
}

// ended is the error of a stream that ended.
func ended(err error) error {
	if err == io.EOF || err == io.ErrUnexpectedEOF {
		return errEnded
	}
	return err
}

var errEnded = fmt.Errorf("the server ended the SFTP session: %w", io.ErrUnexpectedEOF)

func (c *Client) alive() { c.active.Store(int64(time.Since(c.began))) }

// check ends a session in which nothing happens.
func (c *Client) check() {
	quiet := time.Since(c.began) - time.Duration(c.active.Load())
	c.mu.Lock()
	if c.err != nil {
		c.mu.Unlock()
		return
	}
	limit := patience
	if c.patient > 0 {
		limit = longPatience
	}
	silent := len(c.calls) > 0 && quiet >= limit
	if len(c.calls) > 0 && !silent {
		c.watch.Reset(limit - quiet)
	}
	c.mu.Unlock()
	if silent {
		c.fail(fmt.Errorf("%w (nothing for %v)", ErrSilent, limit))
	}
}

// start sends a request. Its call comes to finished when it is over, unless the
// error is not nil. sent is called once when data is no longer needed, in any
// case.
func (c *Client) start(k *call, head request, data []byte, sent func()) error {
	c.mu.Lock()
	if c.err != nil {
		err := c.err
		c.mu.Unlock()
		if sent != nil {
			sent()
		}
		return err
	}
	if len(c.calls) == 0 {
		c.alive() // the time before does not count
		c.watch.Reset(patience)
	}
	for c.nextID++; c.calls[c.nextID] != nil; c.nextID++ {
	}
	k.id = c.nextID
	c.calls[k.id] = k
	if k.patient {
		c.patient++
	}
	head.finish(k.id, len(data))
	c.queue = append(c.queue, packet{head, data, sent})
	c.wake.Signal()
	c.mu.Unlock()
	return nil
}

// batch is how much is written at once, as of a packet of SSH.
const batch = 32 << 10

// send writes what is queued, what is small together.
func (c *Client) send() {
	var buf []byte
	var spare []packet
	for {
		c.mu.Lock()
		for len(c.queue) == 0 && c.err == nil {
			c.wake.Wait()
		}
		queue, over := c.queue, c.err != nil
		c.queue = spare
		c.mu.Unlock()
		for i, p := range queue {
			var err error
			if buf, err = c.put(buf, p, over); err == nil && i == len(queue)-1 {
				buf, err = c.flush(buf)
			}
			if err != nil && !over {
				c.fail(fmt.Errorf("writing to the SFTP server: %w", err))
				over = true
			}
		}
		if over {
			return
		}
		clear(queue)
		spare = queue[:0]
	}
}

// put writes one packet, or puts it to others that wait.
func (c *Client) put(buf []byte, p packet, over bool) (_ []byte, err error) {
	if p.sent != nil {
		defer p.sent()
	}
	if over {
		return nil, nil
	}
	if len(buf)+len(p.head)+len(p.data) > batch {
		if buf, err = c.flush(buf); err != nil {
			return nil, err
		}
	}
	buf = append(buf, p.head...)
	if len(buf)+len(p.data) <= batch {
		return append(buf, p.data...), nil
	}
	if buf, err = c.flush(buf); err != nil {
		return nil, err
	}
	for data := p.data; len(data) > 0; { // in pieces, to see that it goes on
		n, err := c.stream.Write(data[:min(len(data), batch)])
		if err != nil {
			return nil, err
		}
		c.alive()
		data = data[n:]
	}
	return buf, nil
}

func (c *Client) flush(buf []byte) ([]byte, error) {
	if len(buf) == 0 {
		return buf, nil
	}
	if _, err := c.stream.Write(buf); err != nil {
		return nil, err
	}
	c.alive()
	return buf[:0], nil
}

// receive reads one answer and hands it to who waits for it.
func (c *Client) receive() error {
	var head [header]byte
	if _, err := io.ReadFull(c.in, head[:4]); err != nil {
		return ended(err)
	}
	c.alive()
	n := binary.BigEndian.Uint32(head[:])
	if n < 5 || n > maxPacket {
		return protocolErrorf("a packet of %d bytes", n)
	}
	if _, err := io.ReadFull(c.in, head[4:]); err != nil {
		return ended(err)
	}
	rest := int(n) - 5
	kind, id := head[4], binary.BigEndian.Uint32(head[5:])
	c.mu.Lock()
	k := c.calls[id]
	c.mu.Unlock()
	switch {
	case k == nil:
		return protocolErrorf("an answer to a request that was not made (type %d, id %d)", kind, id)
	case kind != typeStatus && kind != k.want:
		return protocolErrorf("an answer of type %d, where %d was asked for", kind, k.want)
	}
	body, buffer, err := c.body(kind, rest, k.most)
	if err != nil {
		return err
	}
	c.mu.Lock()
	if c.err != nil {
		c.mu.Unlock()
		return c.err
	}
	delete(c.calls, id)
	if k.patient {
		c.patient--
	}
	abandoned := k.abandoned
	if !abandoned {
		k.kind, k.body, k.buffer = kind, body, buffer
		k.finished <- k
	}
	c.mu.Unlock()
	if abandoned {
		if buffer != nil {
			c.buffers.Put(buffer)
		}
		if kind == typeHandle {
			c.release(body)
		}
	}
	return nil
}

// body reads the rest of an answer; of data, what it holds.
func (c *Client) body(kind byte, rest, most int) ([]byte, *[]byte, error) {
	if kind != typeData {
		body := make([]byte, rest)
		if err := c.fill(body); err != nil {
			return nil, nil, err
		}
		return body, nil, nil
	}
	var length [4]byte
	if rest < len(length) {
		return nil, nil, protocolErrorf("data that is cut short")
	}
	if err := c.fill(length[:]); err != nil {
		return nil, nil, err
	}
	n := int64(binary.BigEndian.Uint32(length[:]))
	switch {
	case n != int64(rest-len(length)):
		return nil, nil, protocolErrorf("%d bytes of data in a packet for %d", n, rest-len(length))
	case n > int64(most):
		return nil, nil, protocolErrorf("%d bytes of data, where %d were asked for", n, most)
	}
	buffer := c.buffers.Get().(*[]byte)
	if int64(cap(*buffer)) < n {
		*buffer = make([]byte, max(n, 32<<10))
	}
	body := (*buffer)[:n]
	return body, buffer, c.fill(body)
}

func (c *Client) fill(p []byte) error {
	for len(p) > 0 {
		n, err := c.in.Read(p)
		if n > 0 {
			c.alive()
		}
		p = p[n:]
		if err != nil && len(p) > 0 {
			return ended(err)
		}
	}
	return nil
}

// release closes a file whose opener did not wait for it.
func (c *Client) release(body []byte) {
	f := fields{rest: body}
	if handle := f.string(); !f.bad {
		c.start(&call{abandoned: true}, newRequest(typeClose).string(handle), nil, nil)
	}
}

// free gives a call's buffer back.
func (c *Client) free(k *call) {
	if k.buffer != nil {
		c.buffers.Put(k.buffer)
		k.body, k.buffer = nil, nil
	}
}

// begin starts a request whose answer is one packet.
func (c *Client) begin(r request, want byte) (*call, chan *call) {
	finished := make(chan *call, 1)
	k := &call{want: want, finished: finished}
	c.launch(k, finished, r)
	return k, finished
}

func (c *Client) launch(k *call, finished chan<- *call, r request) {
	if err := c.start(k, r, nil, nil); err != nil {
		k.err = err
		finished <- k
	}
}

// await waits for a call's answer and returns its body, or its status as an
// error.
func (c *Client) await(ctx context.Context, k *call, finished <-chan *call) ([]byte, error) {
	select {
	case <-finished:
		return k.answer()
	case <-ctx.Done():
		c.abandon(k)
		return nil, context.Cause(ctx)
	}
}

// abandon leaves a call's answer to nobody.
func (c *Client) abandon(k *call) {
	c.mu.Lock()
	k.abandoned = true
	late := k.kind == typeHandle // it came meanwhile
	c.mu.Unlock()
	if late {
		c.release(k.body)
	}
}

// answer is what came for the call.
func (k *call) answer() ([]byte, error) {
	switch {
	case k.err != nil:
		return nil, k.err
	case k.kind != typeStatus:
		return k.body, nil
	}
	err := parseStatus(k.body)
	if err == nil && k.want != 0 {
		err = protocolErrorf("success instead of an answer of type %d", k.want)
	}
	return nil, err
}

// ask makes a request and waits for the answer's body.
func (c *Client) ask(ctx context.Context, r request, want byte) ([]byte, error) {
	k, finished := c.begin(r, want)
	body, err := c.await(ctx, k, finished)
	return body, c.judge(err)
}

// do makes a request that is answered by a status alone.
func (c *Client) do(ctx context.Context, r request) error {
	_, err := c.ask(ctx, r, 0)
	return err
}

// doPatiently is do for what may have to wait for a disk.
func (c *Client) doPatiently(ctx context.Context, r request) error {
	finished := make(chan *call, 1)
	k := &call{finished: finished, patient: true}
	c.launch(k, finished, r)
	_, err := c.await(ctx, k, finished)
	return c.judge(err)
}

// judge ends the session where an answer was malformed.
func (c *Client) judge(err error) error {
	if pe, ok := errors.AsType[*ProtocolError](err); ok {
		c.fail(pe)
	}
	return err
}
