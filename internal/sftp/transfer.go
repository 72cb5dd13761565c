package sftp

import (
	"context"
	"fmt"
	"io"
)

// How much is under way at once.
const (
	writeWindow = 64        // requests; their data is let go of as it is written
	unsentRoom  = 512 << 10 // bytes given to the writer ahead of time
	readWindow  = 3 << 20   // bytes, which may all have to be held
	maxRequests = 96
)

// Next returns the next piece of a file's content. release, which may be nil,
// is called once when the piece is no longer needed. At the end of the file the
// error is [io.EOF].
type Next func(ctx context.Context) (piece []byte, release func(), err error)

// Write writes what next gives to the file, from an offset on, with many
// requests under way. acked, which may be nil, is called with the number of
// bytes that the server says are written. It returns the number of bytes that
// are written without a gap; only where the error is nil are they all.
func (f *File) Write(ctx context.Context, offset int64, next Next, acked func(int)) (int64, error) {
	limits, err := f.client.Limits(ctx)
	if err != nil {
		return 0, err
	}
	u := &upload{file: f, begin: offset, offset: offset, most: limits.Write,
		acks: make(chan *call, writeWindow), sent: make(chan int, writeWindow)}
	for err == nil {
		var piece []byte
		var release func()
		if piece, release, err = next(ctx); err != nil {
			break
		}
		err = u.piece(ctx, piece, release, acked)
	}
	if err == io.EOF {
		err = nil
		for len(u.flying) > 0 && err == nil {
			err = u.wait(ctx, acked)
		}
	}
	return u.written(), f.client.judge(err)
}

// upload is one call of Write.
type upload struct {
	file          *File
	begin, offset int64
	most          int
	flying        []*call // in order of their offsets
	free          []*call
	acks          chan *call
	sent          chan int
	unsent        int // bytes
	unsentCount   int // requests
}

// piece sends a piece, in as many requests as it takes.
func (u *upload) piece(ctx context.Context, piece []byte, release func(), acked func(int)) error {
	if release == nil {
		release = func() {}
	}
	if len(piece) == 0 {
		release()
		return nil
	}
	for len(piece) > 0 {
		for len(u.flying) == writeWindow || u.unsent >= unsentRoom || u.unsentCount == cap(u.sent) {
			if err := u.wait(ctx, acked); err != nil {
				release()
				return err
			}
		}
		data := piece[:min(len(piece), u.most)]
		piece = piece[len(data):]
		last := len(piece) == 0
		if err := u.write(data, func() {
			if last {
				release()
			}
			u.sent <- len(data) // has room
		}); err != nil {
			if !last {
				release()
			}
			return err
		}
	}
	return nil
}

func (u *upload) write(data []byte, sent func()) error {
	var k *call
	if n := len(u.free); n > 0 {
		k, u.free = u.free[n-1], u.free[:n-1]
	} else {
		k = new(call)
	}
	*k = call{finished: u.acks, offset: u.offset, length: len(data)}
	head := newRequest(typeWrite).string(u.file.handle).uint64(uint64(u.offset)).uint32(uint32(len(data)))
	u.offset += int64(len(data))
	u.unsent += len(data)
	u.unsentCount++
	u.flying = append(u.flying, k)
	return u.file.client.start(k, head, data, sent)
}

// wait waits for something to have happened.
func (u *upload) wait(ctx context.Context, acked func(int)) error {
	select {
	case n := <-u.sent:
		u.unsent -= n
		u.unsentCount--
		return nil
	case k := <-u.acks:
		if _, err := k.answer(); err != nil {
			return err
		}
		k.acked = true
		if acked != nil {
			acked(k.length)
		}
		for len(u.flying) > 0 && u.flying[0].acked {
			u.free = append(u.free, u.flying[0])
			u.flying = u.flying[1:]
		}
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// written is what was acknowledged without a gap.
func (u *upload) written() int64 {
	if len(u.flying) > 0 {
		return u.flying[0].offset - u.begin
	}
	return u.offset - u.begin
}

// SizeError says that a file has not the size that it should have.
type SizeError struct {
	Want int64 // as the server said before
	Got  int64 // where it ended; more than Want where it goes on
}

func (e *SizeError) Error() string {
	if e.Got > e.Want {
		return fmt.Sprintf("the file goes on after the %d bytes that it had at first", e.Want)
	}
	return fmt.Sprintf("the file ends after %d of the %d bytes that it had at first", e.Got, e.Want)
}

// Is reports whether target is [io.ErrUnexpectedEOF], for a file that is short.
func (e *SizeError) Is(target error) bool { return e.Got < e.Want && target == io.ErrUnexpectedEOF }

// Read reads the file from an offset to its size, with many requests under way,
// and makes sure that it ends there: else the error is a [*SizeError]. The
// pieces come to sink in any order, and are its own only while it runs. A
// negative size means up to the end, wherever that is, or a [*SizeError] where
// that is more than -size bytes away. It returns where the file ended.
func (f *File) Read(ctx context.Context, offset, size int64, sink func(offset int64, p []byte) error) (int64, error) {
	limits, err := f.client.Limits(ctx)
	if err != nil {
		return 0, err
	}
	d := &download{file: f, next: offset, size: size, end: -1, most: limits.Read, sink: sink,
		window: min(max(readWindow/limits.Read, 2), maxRequests)}
	if size < 0 {
		d.size, d.open, d.window = offset-size, true, 4
	}
	d.answers = make(chan *call, d.window)
	return d.run(ctx)
}

// download is one call of Read.
type download struct {
	file    *File
	next    int64 // offset not yet asked for
	size    int64
	open    bool  // the size is only a limit
	end     int64 // the lowest offset at which the file was found to end, or -1
	top     int64 // the highest to which there was data
	most    int
	window  int
	probed  bool
	empty   int // answers without data, one after the other
	flying  map[*call]struct{}
	free    []*call
	answers chan *call
	sink    func(int64, []byte) error
}

func (d *download) run(ctx context.Context) (int64, error) {
	d.flying = make(map[*call]struct{}, d.window)
	for {
		for len(d.flying) < d.window && d.end < 0 && !d.probed {
			if err := d.ask(); err != nil {
				return 0, err
			}
		}
		if len(d.flying) == 0 {
			return d.finish()
		}
		select {
		case k := <-d.answers:
			if err := d.take(k); err != nil {
				d.abandon()
				return 0, d.file.client.judge(err)
			}
		case <-ctx.Done():
			d.abandon()
			return 0, context.Cause(ctx)
		}
	}
}

// ask makes the next request; the last looks for what must not be there.
func (d *download) ask() error {
	n := min(int64(d.most), d.size-d.next)
	if n <= 0 {
		d.probed = true
		return d.read(d.size, 1, true)
	}
	d.next += n
	return d.read(d.next-n, int(n), false)
}

func (d *download) read(offset int64, n int, probe bool) error {
	var k *call
	if i := len(d.free); i > 0 {
		k, d.free = d.free[i-1], d.free[:i-1]
	} else {
		k = new(call)
	}
	*k = call{want: typeData, most: n, finished: d.answers, offset: offset, length: n, probe: probe}
	d.flying[k] = struct{}{}
	head := newRequest(typeRead).string(d.file.handle).uint64(uint64(offset)).uint32(uint32(n))
	return d.file.client.start(k, head, nil, nil)
}

// take deals with an answer.
func (d *download) take(k *call) error {
	delete(d.flying, k)
	data, err := k.answer()
	if s, ok := err.(*Status); ok && s.Code == EOF {
		if d.end < 0 || k.offset < d.end {
			d.end = k.offset
		}
		d.free = append(d.free, k)
		return nil
	}
	if err != nil {
		return err
	}
	offset, length, probe, n := k.offset, k.length, k.probe, len(data)
	if n > 0 && !probe {
		d.empty = 0
		d.top = max(d.top, offset+int64(n))
		err = d.sink(offset, data)
	}
	d.file.client.free(k)
	d.free = append(d.free, k)
	switch {
	case err != nil:
		return err
	case n > 0 && probe:
		return &SizeError{d.size, d.size + 1}
	case n == 0:
		if d.empty++; d.empty == maxEmpty {
			return protocolErrorf("%d answers without data", maxEmpty)
		}
	}
	if n < length {
		return d.read(offset+int64(n), length-n, probe)
	}
	return nil
}

// finish looks at where the file ended.
func (d *download) finish() (int64, error) {
	switch {
	case d.top > d.end: // it grew between two answers
		return d.end, &SizeError{d.end, d.top}
	case d.end != d.size && !d.open:
		return d.end, &SizeError{d.size, d.end}
	}
	return d.end, nil
}

// abandon leaves the answers that are under way to nobody.
func (d *download) abandon() {
	for k := range d.flying {
		d.file.client.abandon(k)
	}
}
