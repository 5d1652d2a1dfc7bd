package relayclient_test

import (
	"context"
	"fmt"
	"io"
	"log"
	"net/http"
	"time"

	"github.com/relayhouse/relayhouse/relayclient"
)

// A listener that echoes what senders send, and answers HTTP requests.
func ExampleListen() {
	entity, err := relayclient.ParseConnectionString(
		"Endpoint=sb://contoso.servicebus.windows.net/;SharedAccessKeyName=listen;"+
			"SharedAccessKey=…;EntityPath=hyco", "")
	if err != nil {
		log.Fatal(err)
	}
	l, err := relayclient.Listen(context.Background(), relayclient.Options{
		Entity: entity,
		Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			fmt.Fprintf(w, "hello, %s asked for %s\n", r.RemoteAddr, r.URL)
		}),
		Reconnecting: func(err error, wait time.Duration) {
			log.Printf("lost the gateway, next attempt in %v: %v", wait, err)
		},
	})
	if err != nil {
		log.Fatal(err)
	}
	defer func() { _ = l.Close() }()
	for {
		conn, err := l.Accept()
		if err != nil {
			log.Fatal(err)
		}
		go func() {
			defer func() { _ = conn.Close() }()
			_, _ = io.Copy(conn, conn)
		}()
	}
}

// A sender.
func ExampleDialer() {
	entity := relayclient.Entity{
		Endpoint: "sb://contoso.servicebus.windows.net",
		Path:     "hyco",
		Token:    relayclient.Key("send", "…"),
	}
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	conn, err := (&relayclient.Dialer{Entity: entity}).Dial(ctx)
	if err != nil {
		log.Fatal(err) // handshake refused: 404 There are no listeners connected …
	}
	defer func() { _ = conn.Close() }()
	_, _ = io.WriteString(conn, "hello")
}

// A sender of plain HTTP requests.
func ExampleEntity_Transport() {
	entity, err := relayclient.ParseConnectionString("…", "hyco")
	if err != nil {
		log.Fatal(err)
	}
	transport, err := entity.Transport()
	if err != nil {
		log.Fatal(err)
	}
	client := &http.Client{Transport: transport}
	res, err := client.Get(entity.URL("/orders?id=7"))
	if err != nil {
		log.Fatal(err)
	}
	defer func() { _ = res.Body.Close() }()
	fmt.Println(res.Status)
}
