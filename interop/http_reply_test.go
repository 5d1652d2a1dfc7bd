package interop

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strings"

	"github.com/relayhouse/relayhouse/interop/framer"
)

// How listeners respond: the forms of docs/protocol.md, section 5.5, byte for
// byte as the three official listeners write them.

// reply is what an application wants to respond with.
type reply struct {
	status  any // 200 when nil; a number or anything that JSON can tell
	phrase  any // left out when nil; null is jsonNull
	headers map[string]any
	body    []byte
	piece   int // size of the application's writes; 0: all at once

	// dial asks for the response to travel on a rendezvous connection though
	// it is small enough for the control channel.
	dial bool
}

// jsonNull is a member with the value null.
var jsonNull = json.RawMessage("null")

// member is one member of a response message, in the order that is written.
type member struct {
	name  string
	value any
}

// responseText writes a response message; members with a nil value are left
// out.
func responseText(members ...member) []byte {
	var parts []string
	for _, m := range members {
		if m.value == nil {
			continue
		}
		var value bytes.Buffer
		encoder := json.NewEncoder(&value)
		encoder.SetEscapeHTML(false)
		if err := encoder.Encode(m.value); err != nil {
			panic(err)
		}
		parts = append(parts, fmt.Sprintf("%q:%s", m.name, bytes.TrimSpace(value.Bytes())))
	}
	return []byte(`{"response":{` + strings.Join(parts, ",") + `}}`)
}

// members are those of the reply, by name.
func (a reply) members(id string, body any) map[string]member {
	status := a.status
	if status == nil {
		status = 200
	}
	list := []member{{"requestId", id}, {"statusCode", status}, {"statusDescription", a.phrase},
		{"responseHeaders", nil}, {"body", body}}
	if a.headers != nil {
		list[3].value = a.headers
	}
	byName := map[string]member{}
	for _, m := range list {
		byName[m.name] = m
	}
	return byName
}

// text writes the response message with the members in that order.
func (a reply) text(id string, body any, order ...string) framer.Frame {
	byName := a.members(id, body)
	var members []member
	for _, name := range order {
		members = append(members, byName[name])
	}
	return framer.Message(framer.Text, responseText(members...))
}

// bodiless says whether the status or the method allows no body.
func (a reply) bodiless(r *httpRequest) bool {
	return r.Method == "HEAD" || a.status == 204 || a.status == 304
}

// httpStyle is the manner of one official listener.
type httpStyle struct {
	name    string
	respond func(r *httpRequest, a reply) error
}

var httpStyles = []httpStyle{{"dotnet", dotnetReply}, {"java", javaReply}, {"node", nodeReply}}

// pieces cuts a body into the payloads of frames of at most size bytes; an
// empty body is no frame.
func pieces(body []byte, size int) [][]byte {
	var list [][]byte
	for len(body) > 0 {
		n := len(body)
		if size > 0 {
			n = min(n, size)
		}
		list, body = append(list, body[:n]), body[n:]
	}
	return list
}

// fragments makes a binary message of pieces, the last of them with FIN or not.
func fragments(list [][]byte, fin bool) []framer.Frame {
	var frames []framer.Frame
	opcode := byte(framer.Binary)
	for i, piece := range list {
		f := framer.Part(opcode, piece)
		f.Fin = fin && i == len(list)-1
		frames, opcode = append(frames, f), framer.Continuation
	}
	return frames
}

// onControl writes a response as one unit, with nothing between its frames, in
// one write each.
func (r *httpRequest) onControl(frames ...framer.Frame) error {
	c := r.l.framerConn
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, f := range frames {
		if err := c.c.Send(f); err != nil {
			return err
		}
	}
	return nil
}

// onControlAtOnce is onControl in one write of all.
func (r *httpRequest) onControlAtOnce(frames ...framer.Frame) error {
	c := r.l.framerConn
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.c.Send(frames...)
}

// byRendezvous says where the reply goes, and opens the connection for it.
func (r *httpRequest) byRendezvous(a reply) (bool, error) {
	if r.conn == nil && !a.dial && len(a.body) <= frameMax {
		return false, nil
	}
	return true, r.dial()
}

// onRendezvous writes frames one by one, as applications do.
func (r *httpRequest) onRendezvous(frames ...framer.Frame) error {
	for _, f := range frames {
		if err := r.conn.send(f); err != nil {
			return err
		}
	}
	return nil
}

// dotnetReply: the member body comes first; without a body there is no
// message; on a rendezvous connection an empty frame with FIN ends the body,
// then Close 1000, and it waits for ours.
func dotnetReply(r *httpRequest, a reply) error {
	size := a.piece
	if size == 0 || size > frameMax {
		size = frameMax
	}
	list := pieces(a.body, size)
	text := a.text(r.ID, len(list) > 0, "body", "requestId", "statusCode", "statusDescription",
		"responseHeaders")
	remote, err := r.byRendezvous(a)
	if err != nil {
		return err
	}
	if !remote {
		return r.onControlAtOnce(append([]framer.Frame{text}, fragments(list, true)...)...)
	}
	frames := append([]framer.Frame{text}, fragments(list, false)...)
	if len(list) > 0 {
		frames = append(frames, framer.Message(framer.Continuation, nil))
	}
	frames = append(frames, framer.CloseFrame(1000, "NormalClosure"))
	if err := r.onRendezvous(frames...); err != nil {
		return err
	}
	return r.ended(1000)
}

// javaReply: on a rendezvous connection no frame ever has FIN, and Close 1000
// ends the body.
func javaReply(r *httpRequest, a reply) error {
	list := pieces(a.body, a.piece)
	text := a.text(r.ID, len(list) > 0, "requestId", "body", "statusCode", "statusDescription",
		"responseHeaders")
	remote, err := r.byRendezvous(a)
	if err != nil {
		return err
	}
	if !remote {
		return r.onControl(append([]framer.Frame{text}, fragments(list, true)...)...)
	}
	frames := append([]framer.Frame{text}, fragments(list, false)...)
	frames = append(frames, framer.CloseFrame(1000, "NormalClosure"))
	if err := r.onRendezvous(frames...); err != nil {
		return err
	}
	return r.ended(1000)
}

// nodeReply: body is true even for no data, which is an empty message; what
// allows no body is followed by an empty message all the same; an empty frame
// with FIN ends a body; the rendezvous connection is left open for the gateway
// to close.
func nodeReply(r *httpRequest, a reply) error {
	lower := a
	if a.headers != nil {
		lower.headers = map[string]any{}
	}
	for name, value := range a.headers {
		lower.headers[strings.ToLower(name)] = value
	}
	bodiless := a.bodiless(r)
	text := lower.text(r.ID, !bodiless, "requestId", "statusCode", "statusDescription",
		"responseHeaders", "body")
	frames := []framer.Frame{text}
	if list := pieces(a.body, a.piece); bodiless || len(list) == 0 {
		frames = append(frames, framer.Message(framer.Binary, nil))
	} else {
		frames = append(frames, fragments(list, false)...)
		frames = append(frames, framer.Message(framer.Continuation, nil))
	}
	remote, err := r.byRendezvous(a)
	if err != nil {
		return err
	}
	if !remote {
		return r.onControl(frames...)
	}
	if err := r.onRendezvous(frames...); err != nil {
		return err
	}
	return r.ended(1000)
}

// echoWith answers with the body that came, in the manner of a listener.
func echoWith(style httpStyle, a reply) func(r *httpRequest) error {
	return func(r *httpRequest) error {
		if err := r.readBody(); err != nil {
			return err
		}
		echo := a
		echo.body = r.body
		return style.respond(r, echo)
	}
}

// respondWith answers every request in the same way, after its body.
func respondWith(style httpStyle, a reply) func(r *httpRequest) error {
	return func(r *httpRequest) error {
		if err := r.readBody(); err != nil {
			return err
		}
		return style.respond(r, a)
	}
}
