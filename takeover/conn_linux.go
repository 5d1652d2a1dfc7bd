package takeover

import (
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"sync"
	"time"

	"golang.org/x/sys/unix"
)

// Conn is a connection between two processes. Send and Receive may be called
// from two goroutines.
type Conn struct {
	conn *net.UnixConn
	buf  []byte // of Receive
	oob  []byte
}

func newConn(c *net.UnixConn) (*Conn, error) {
	if err := checkUser(c); err != nil {
		_ = c.Close()
		return nil, err
	}
	return &Conn{conn: c, buf: make([]byte, MessageMax+1),
		oob: make([]byte, unix.CmsgSpace(4*(DescriptorsMax+1)))}, nil
}

// checkUser lets in this process's own user and root.
func checkUser(c *net.UnixConn) error {
	raw, err := c.SyscallConn()
	if err != nil {
		return fmt.Errorf("takeover: %w", err)
	}
	var cred *unix.Ucred
	var credErr error
	if err := raw.Control(func(fd uintptr) {
		cred, credErr = unix.GetsockoptUcred(int(fd), unix.SOL_SOCKET, unix.SO_PEERCRED)
	}); err != nil {
		return fmt.Errorf("takeover: %w", err)
	}
	if credErr != nil {
		return fmt.Errorf("takeover: who is it: %w", credErr)
	}
	if !trusted(cred.Uid) {
		return fmt.Errorf("takeover: user %d of process %d is neither root nor the own one",
			cred.Uid, cred.Pid)
	}
	return nil
}

// own is the user of this process.
var own = uint32(os.Geteuid())

func trusted(uid uint32) bool { return uid == 0 || uid == own }

// SetDeadline bounds what follows; the zero time is no bound.
func (c *Conn) SetDeadline(t time.Time) { _ = c.conn.SetDeadline(t) }

// Close ends the connection.
func (c *Conn) Close() error { return c.conn.Close() }

// Send writes a message and closes its descriptors, whatever comes of it.
func (c *Conn) Send(m Message) error {
	defer m.release()
	p, err := m.Append(nil)
	if err != nil {
		return err
	}
	var oob []byte
	if len(m.Descriptors) > 0 {
		oob = unix.UnixRights(m.Descriptors...)
	}
	if _, _, err := c.conn.WriteMsgUnix(p, oob, nil); err != nil {
		return fmt.Errorf("takeover: send %s: %w", m.Kind, err)
	}
	return nil
}

// Receive reads a message. Its Bytes are good until the next call.
//
//	Errors: io.EOF at the end; ErrMessage, ErrDescriptors.
func (c *Conn) Receive() (Message, error) {
	n, oobn, flags, _, err := c.conn.ReadMsgUnix(c.buf, c.oob)
	if err != nil {
		return Message{}, fmt.Errorf("takeover: receive: %w", err)
	}
	fds, err := descriptorsOf(c.oob[:oobn])
	switch {
	case err != nil:
	case n == 0 && len(fds) == 0:
		return Message{}, io.EOF
	case flags&(unix.MSG_TRUNC|unix.MSG_CTRUNC) != 0:
		err = ErrMessage
	default:
		var m Message
		if m, err = Parse(c.buf[:n], len(fds)); err == nil {
			m.Descriptors = fds
			return m, nil
		}
	}
	closeAll(fds)
	return Message{}, err
}

// Expect is Receive of one of the kinds. A refusal becomes an error.
func (c *Conn) Expect(kinds ...Kind) (Message, error) {
	m, err := c.Receive()
	if err != nil {
		return Message{}, err
	}
	for _, k := range kinds {
		if m.Kind == k {
			return m, nil
		}
	}
	m.release()
	if m.Kind == KindRefused {
		return Message{}, errors.New(m.Error)
	}
	return Message{}, fmt.Errorf("%w: %.20q in place of %s", ErrMessage, m.Kind, kinds[0])
}

func descriptorsOf(oob []byte) ([]int, error) {
	messages, err := unix.ParseSocketControlMessage(oob)
	if err != nil {
		return nil, ErrMessage
	}
	var all []int
	for i := range messages {
		fds, err := unix.ParseUnixRights(&messages[i])
		if err != nil {
			closeAll(all)
			return nil, ErrMessage
		}
		all = append(all, fds...)
	}
	for _, fd := range all {
		unix.CloseOnExec(fd)
	}
	return all, nil
}

func (m *Message) release() { closeAll(m.Descriptors) }

func closeAll(fds []int) {
	for _, fd := range fds {
		_ = unix.Close(fd)
	}
}

// Dial connects to the process that listens at path. It returns nil and no
// error if there is none: no file, or one that a process left behind.
func Dial(path string) (*Conn, error) {
	c, err := net.DialUnix("unixpacket", nil, &net.UnixAddr{Name: path, Net: "unixpacket"})
	switch {
	case errors.Is(err, os.ErrNotExist), errors.Is(err, unix.ECONNREFUSED):
		return nil, nil
	case err != nil:
		return nil, fmt.Errorf("takeover: %w", err)
	}
	return newConn(c)
}

// Listener is the socket of a running process.
type Listener struct {
	path string // where others look for it
	temp string // where it is until Publish
	l    *net.UnixListener
	info os.FileInfo // to know it again

	mu        sync.Mutex
	published bool
	closed    bool
}

// Listen opens a socket beside path; Publish puts it there. A file at path that
// is no socket is an error.
func Listen(path string) (*Listener, error) {
	if info, err := os.Lstat(path); err == nil && info.Mode().Type() != os.ModeSocket {
		return nil, fmt.Errorf("%s is in the way and no socket", path)
	}
	l := &Listener{path: path, temp: fmt.Sprintf("%s.%d", path, os.Getpid())}
	_ = os.Remove(l.temp)
	var err error
	l.l, err = net.ListenUnix("unixpacket", &net.UnixAddr{Name: l.temp, Net: "unixpacket"})
	if err != nil {
		return nil, err
	}
	l.l.SetUnlinkOnClose(false)
	// Who comes before the mode is set is looked at all the same, see checkUser.
	if err = os.Chmod(l.temp, 0o600); err == nil {
		l.info, err = os.Lstat(l.temp)
	}
	if err != nil {
		_ = l.Close()
		return nil, err
	}
	return l, nil
}

// Publish puts the socket at its path, in place of what is there.
func (l *Listener) Publish() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if err := os.Rename(l.temp, l.path); err != nil {
		return err
	}
	l.published = true
	return nil
}

// Accept waits for a process.
//
//	Errors: net.ErrClosed after Close. Others concern one process only.
func (l *Listener) Accept() (*Conn, error) {
	c, err := l.l.AcceptUnix()
	if err != nil {
		return nil, err
	}
	return newConn(c)
}

// Abandon stops listening and leaves the path to the process that comes.
func (l *Listener) Abandon() {
	l.mu.Lock()
	defer l.mu.Unlock()
	if !l.closed {
		l.closed = true
		_ = l.l.Close()
	}
}

// Close stops listening and removes the socket, unless another process has put
// its own there.
func (l *Listener) Close() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.closed {
		return nil
	}
	l.closed = true
	name := l.temp
	if l.published {
		name = l.path
	}
	if info, err := os.Lstat(name); err == nil && (l.info == nil || os.SameFile(info, l.info)) {
		_ = os.Remove(name)
	}
	return l.l.Close()
}
