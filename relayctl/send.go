package relayctl

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/relayhouse/relayhouse/relayclient"
	"github.com/relayhouse/relayhouse/relayctl/arm"
	"github.com/relayhouse/relayhouse/sas"
)

// sendTimeout bounds the wait for the head of a response; gateways give up
// after 60 s (docs/protocol.md, section 5.7).
const sendTimeout = 70 * time.Second

func (a *app) sendCommand() *cobra.Command {
	var headers []string
	var data string
	var head bool
	cmd := &cobra.Command{
		Use:   "send [METHOD] [PATH]",
		Short: "send an HTTP request to a listener and print the response",
		Long: `Send an HTTP request through a hybrid connection and print the body of the response; with
-i, its head too. PATH is below the hybrid connection. METHOD is GET, or with -d POST. The exit
status is 1 if the response says 400 or more.`,
		Example: `  relayctl send --hyco orders
  relayctl send GET /status?verbose=1 --hyco orders -i
  relayctl send /items --hyco orders -H 'Content-Type: application/json' -d @item.json`,
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) > 2 {
				return usage("want METHOD and PATH, got %q as well", arm.Line(args[2]))
			}
			return nil
		},
	}
	r := a.relayer(cmd, sas.Send)
	f := cmd.Flags()
	f.StringArrayVarP(&headers, "header", "H", nil, "`'NAME: VALUE'` to send, may be repeated")
	f.StringVarP(&data, "data", "d", "",
		"`BODY` to send; @FILE for that of a file, @- for standard input")
	f.BoolVarP(&head, "include", "i", false, "print the status and the headers too")
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		q := request{method: http.MethodGet, head: head}
		if f.Changed("data") {
			q.method = http.MethodPost
		}
		if len(args) > 0 && !strings.HasPrefix(args[0], "/") {
			q.method, args = args[0], args[1:]
		}
		if len(args) > 0 {
			q.path, args = args[0], args[1:]
		}
		if len(args) > 0 {
			return usage("want METHOD before PATH")
		}
		var err error
		if q.header, err = parseHeaders(headers); err != nil {
			return err
		}
		if f.Changed("data") {
			body, err := a.openData(data)
			if err != nil {
				return err
			}
			defer func() { _ = body.Close() }()
			q.body = body
			if text, ok := body.(sizedText); ok {
				q.length = int64(text.Len())
			} else {
				q.length = -1
			}
		}
		return a.send(cmd.Context(), r, &q)
	}
	return cmd
}

// request is what to send.
type request struct {
	method, path string
	header       http.Header
	body         io.Reader
	length       int64 // -1 if it is not known.
	head         bool  // Print that of the response.
}

func parseHeaders(lines []string) (http.Header, error) {
	header := http.Header{}
	for _, line := range lines {
		name, value, ok := strings.Cut(line, ":")
		if name = strings.TrimSpace(name); !ok || name == "" {
			return nil, usage("-H: want 'NAME: VALUE'")
		}
		header.Add(name, strings.TrimSpace(value))
	}
	return header, nil
}

// sizedText is a body that is known as a whole.
type sizedText struct{ *strings.Reader }

func (sizedText) Close() error { return nil }

// openData returns the body that -d says.
func (a *app) openData(data string) (io.ReadCloser, error) {
	switch {
	case data == "@-":
		return io.NopCloser(a.In), nil
	case strings.HasPrefix(data, "@"):
		return os.Open(data[1:])
	}
	return sizedText{strings.NewReader(data)}, nil
}

func (a *app) send(ctx context.Context, r *relayFlags, q *request) error {
	e, err := a.entity(ctx, r)
	if err != nil {
		return err
	}
	transport, err := e.Transport()
	if err != nil {
		return &relayError{e, err}
	}
	client := &http.Client{
		Transport: transport,
		CheckRedirect: func(*http.Request, []*http.Request) error {
			return http.ErrUseLastResponse
		},
	}
	defer client.CloseIdleConnections()
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	timer := time.AfterFunc(sendTimeout, func() { cancel(context.DeadlineExceeded) })
	req, err := http.NewRequestWithContext(ctx, q.method, e.URL(q.path), q.body)
	if err != nil {
		return usage("want METHOD and PATH of an HTTP request: %v", err)
	}
	req.Header = q.header
	req.ContentLength = q.length
	if host := q.header.Get("Host"); host != "" {
		req.Host = host
	}
	resp, err := client.Do(req)
	timer.Stop()
	if err != nil {
		if cause := context.Cause(ctx); cause != nil {
			err = cause
		}
		return &relayError{e, err}
	}
	defer func() { _ = resp.Body.Close() }()
	if q.head {
		if err := a.write(responseHead(resp)); err != nil {
			return err
		}
	}
	if _, err := io.Copy(a.Out, resp.Body); err != nil {
		return &relayError{e, err}
	}
	return statusOf(resp, e)
}

// responseHead is the head as text, header names in order.
func responseHead(resp *http.Response) string {
	var b strings.Builder
	_, _ = fmt.Fprintf(&b, "%s %s\n", resp.Proto, clean(resp.Status))
	var lines []string
	for name, values := range resp.Header {
		for _, value := range values {
			lines = append(lines, name+": "+clean(value))
		}
	}
	slices.Sort(lines)
	b.WriteString(strings.Join(lines, "\n") + "\n\n")
	return b.String()
}

// statusOf is an error for a response that says so. The gateway's own come without
// the header Via (docs/protocol.md, section 5.6).
func statusOf(resp *http.Response, e relayclient.Entity) error {
	if resp.StatusCode < http.StatusBadRequest {
		return nil
	}
	if resp.Header.Get("Via") == "" {
		_, text, _ := strings.Cut(resp.Status, " ")
		return &relayError{e, &relayclient.HandshakeError{Status: resp.StatusCode, Text: text}}
	}
	return fmt.Errorf("the listener answered %s", resp.Status)
}
