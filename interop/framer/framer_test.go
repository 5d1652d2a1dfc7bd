package framer

import (
	"bytes"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net"
	"reflect"
	"strings"
	"testing"
)

// The vectors of RFC 6455 section 5.7 that concern a client or a server.
func TestReadVectors(t *testing.T) {
	tests := []struct {
		name, wire string
		want       Frame
	}{
		{"text", "810548656c6c6f", Frame{Fin: true, Opcode: Text, Payload: []byte("Hello")}},
		{"first fragment", "010348656c", Frame{Opcode: Text, Payload: []byte("Hel")}},
		{"last fragment", "80026c6f", Frame{Fin: true, Payload: []byte("lo")}},
		{"ping", "890548656c6c6f", Frame{Fin: true, Opcode: Ping, Payload: []byte("Hello")}},
		{"reserved bits", "f100", Frame{Fin: true, RSV: 7, Opcode: Text, Payload: []byte{}}},
		{"256 bytes", "827e0100" + strings.Repeat("61", 256), Frame{Fin: true, Opcode: Binary,
			Payload: bytes.Repeat([]byte("a"), 256)}},
		{"65536 bytes", "827f0000000000010000" + strings.Repeat("61", 65536), Frame{Fin: true,
			Opcode: Binary, Payload: bytes.Repeat([]byte("a"), 65536)}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			wire, err := hex.DecodeString(tt.wire)
			if err != nil {
				t.Fatal(err)
			}
			r := bytes.NewReader(wire)
			got, err := Read(r)
			if err != nil || !reflect.DeepEqual(got, tt.want) {
				t.Errorf("Read = %v, %v; want %v", got, err, tt.want)
			}
			if _, err := Read(r); err != io.EOF {
				t.Errorf("at the end Read gives %v, want io.EOF", err)
			}
			for cut := 1; cut < len(wire) && cut < 12; cut++ {
				_, err := Read(bytes.NewReader(wire[:cut]))
				if !errors.Is(err, io.ErrUnexpectedEOF) {
					t.Errorf("cut at %d: %v, want an unexpected end", cut, err)
				}
			}
		})
	}
}

func TestReadRefusesWhatServersMustNotSend(t *testing.T) {
	tests := []struct{ name, wire, want string }{
		{"mask", "818037fa213d", "masked"},
		{"125 as 16 bit", "827e007d", "shortest form"},
		{"65535 as 64 bit", "827f000000000000ffff", "shortest form"},
		{"64 bit length", "827f8000000000000000", "shortest form"},
		{"huge", "827f0000001000000000", "a frame of"},
	}
	for _, tt := range tests {
		wire, err := hex.DecodeString(tt.wire)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := Read(bytes.NewReader(wire)); err == nil ||
			!strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s: %v, want %q", tt.name, err, tt.want)
		}
	}
}

func TestAppend(t *testing.T) {
	mask = [4]byte{0x37, 0xfa, 0x21, 0x3d} // of RFC 6455 section 5.7
	tests := []struct {
		name  string
		frame Frame
		want  string
	}{
		{"masked text", Message(Text, []byte("Hello")), "818537fa213d7f9f4d5158"},
		{"unmasked", Frame{Fin: true, Opcode: Text, Unmasked: true, Payload: []byte("Hello")},
			"810548656c6c6f"},
		{"part", Part(Binary, nil), "028037fa213d"},
		{"reserved bit 1", Frame{Fin: true, RSV: 4, Opcode: Ping}, "c98037fa213d"},
		{"16 bit", Frame{Fin: true, Opcode: Ping, Form: As16}, "89fe000037fa213d"},
		{"64 bit", Frame{Fin: true, Opcode: Ping, Form: As64},
			"89ff000000000000000037fa213d"},
		{"close", Frame{Fin: true, Opcode: Close, Unmasked: true,
			Payload: ClosePayload(4001, "bye")}, "88050fa1627965"},
	}
	for _, tt := range tests {
		if got := hex.EncodeToString(tt.frame.Append(nil)); got != tt.want {
			t.Errorf("%s: %s, want %s", tt.name, got, tt.want)
		}
	}
	got := hex.EncodeToString(AppendHeader(nil, Message(Binary, nil), 1<<62))
	if want := "82ff400000000000000037fa213d"; got != want {
		t.Errorf("63-bit length: %s, want %s", got, want)
	}
}

func TestCloseCode(t *testing.T) {
	tests := []struct {
		frame  Frame
		code   int
		reason string
		ok     bool
	}{
		{CloseFrame(1000, ""), 1000, "", true},
		{CloseFrame(4001, "bye"), 4001, "bye", true},
		{Message(Close, nil), 1005, "", true},
		{Message(Close, []byte{3}), 0, "", false},
		{Message(Ping, nil), 0, "", false},
	}
	for _, tt := range tests {
		code, reason, err := tt.frame.CloseCode()
		if code != tt.code || reason != tt.reason || (err == nil) != tt.ok {
			t.Errorf("%v: %d %q %v", tt.frame, code, reason, err)
		}
	}
}

func TestRequest(t *testing.T) {
	got := Request("/x?y", "h:1", "X-A: b", "Upgrade:", "connection: close", "X-A: c")
	want := "GET /x?y HTTP/1.1\r\nHost: h:1\r\nSec-WebSocket-Version: 13\r\n" +
		"Sec-WebSocket-Key: " + key + "\r\nX-A: b\r\nconnection: close\r\nX-A: c\r\n\r\n"
	if got != want {
		t.Errorf("%q, want %q", got, want)
	}
}

func TestParseResponse(t *testing.T) {
	good := "HTTP/1.1 404 Not here. TrackingId:x\r\nA: b\r\na:  c \r\n\r\n"
	r, err := parseResponse(good)
	if err != nil || r.Status != 404 || r.Reason != "Not here. TrackingId:x" ||
		!reflect.DeepEqual(r.Values("A"), []string{"b", "c"}) {
		t.Errorf("%+v, %v", r, err)
	}
	for _, bad := range []string{"HTTP/1.1 x\r\n\r\n", "HTTP/1.1 200 OK\r\nno colon\r\n\r\n",
		"HTTP/1.1 200 OK\r\nA : b\r\n\r\n"} {
		if _, err := parseResponse(bad); err == nil {
			t.Errorf("%q: no error", bad)
		}
	}
}

// TestDial runs a handshake and an echo against a server of five lines.
func TestDial(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = l.Close() }()
	go func() {
		for _, answer := range []string{"HTTP/1.1 401 No. TrackingId:x\r\n\r\n",
			"HTTP/1.1 101 OK\r\nSec-WebSocket-Accept: wrong\r\n\r\n"} {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			_, _ = conn.Read(make([]byte, 4096))
			_, _ = fmt.Fprint(conn, answer)
			_ = conn.Close()
		}
	}()
	address := "ws://" + l.Addr().String() + "/$hc/x?a=b"
	c, r, err := Dial(address)
	if c != nil || err != nil || r.Status != 401 || r.Reason != "No. TrackingId:x" {
		t.Errorf("refused: %v %+v %v", c, r, err)
	}
	if _, _, err = Dial(address); err == nil || !strings.Contains(err.Error(), "Accept is") {
		t.Errorf("wrong accept key: %v", err)
	}
}
