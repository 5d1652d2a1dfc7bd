package naive

import (
	"context"
	"errors"
	"io"
	"net/http"
	"sync"
	"time"

	"github.com/coder/websocket"
	gorilla "github.com/gorilla/websocket"
)

// closeWrite is how long a Close may take to be written.
const closeWrite = 5 * time.Second

// gorillaBuffer is the size of the library's own buffers, in bytes; its default.
const gorillaBuffer = 4 << 10

var upgrader = gorilla.Upgrader{
	ReadBufferSize: gorillaBuffer, WriteBufferSize: gorillaBuffer,
	CheckOrigin: func(*http.Request) bool { return true },
}

// A gorillaLeg is a leg of the other library. The two number the kinds of
// messages alike (RFC 6455 §5.2).
type gorillaLeg struct {
	c *gorilla.Conn
	// writing: unlike the other library this one bears no two at a time, and
	// many senders have messages for one control channel.
	writing sync.Mutex
}

func upgradeGorilla(w http.ResponseWriter, req *http.Request) (leg, error) {
	c, err := upgrader.Upgrade(w, req, nil)
	if err != nil {
		return nil, err
	}
	return &gorillaLeg{c: c}, nil
}

// convert makes the end by a Close what the other library makes of it.
func convert(err error) error {
	if closed, ok := errors.AsType[*gorilla.CloseError](err); ok &&
		closed.Code != gorilla.CloseAbnormalClosure {
		return websocket.CloseError{Code: websocket.StatusCode(closed.Code), Reason: closed.Text}
	}
	return err
}

func (g *gorillaLeg) Reader(context.Context) (websocket.MessageType, io.Reader, error) {
	kind, r, err := g.c.NextReader()
	return websocket.MessageType(kind), r, convert(err)
}

func (g *gorillaLeg) Writer(
	_ context.Context, kind websocket.MessageType,
) (io.WriteCloser, error) {
	return g.c.NextWriter(int(kind))
}

func (g *gorillaLeg) Read(context.Context) (websocket.MessageType, []byte, error) {
	kind, p, err := g.c.ReadMessage()
	return websocket.MessageType(kind), p, convert(err)
}

func (g *gorillaLeg) Write(_ context.Context, kind websocket.MessageType, p []byte) error {
	g.writing.Lock()
	defer g.writing.Unlock()
	return g.c.WriteMessage(int(kind), p)
}

// Close sends a Close. The answer to it is met by whoever reads.
func (g *gorillaLeg) Close(code websocket.StatusCode, reason string) error {
	return g.c.WriteControl(gorilla.CloseMessage,
		gorilla.FormatCloseMessage(int(code), reason), time.Now().Add(closeWrite))
}

func (g *gorillaLeg) CloseNow() error { return g.c.Close() }
