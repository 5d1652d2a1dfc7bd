package relayctl

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/relayhouse/relayhouse/relayctl/arm"
)

const (
	showLimitDefault = 100
	showLimitMax     = 10000 // The admin port's own bound.
	watchInterval    = 2 * time.Second
	watchIntervalMin = 100 * time.Millisecond

	clearScreen = "\x1b[H\x1b[2J"
)

// part is a part of /status. list returns what its table shows of an answer.
type part struct {
	name, short string
	path        string // Below /status/.
	view        view
	list        func(answer any) []arm.Resource
}

var parts = []part{
	{"info", "the process: version, addresses, state", "", infoView, oneOf("gateway")},
	{"loops", "event loops and what they moved", "loops", loopsView, all},
	{"conns", "connections by role", "connections", connectionsView, counts},
	{"listeners", "connected listeners", "listeners", listenersView, items},
	{"pending", "senders that wait for a listener", "pending", pendingView, items},
	{"pools", "memory that is bounded", "pools", poolsView, all},
	{"closed", "connections that ended last, and why", "closed", closedView, items},
	{"certificates", "certificates of the TLS port", "certificates", certificatesView, items},
}

// The tables. docs/operating.md says what the members mean.
var (
	infoView = view{columns: []column{
		member("ID", "id"), member("VERSION", "version"), {"STARTED", stamp("started")},
		{"UP", seconds("uptime_seconds")}, member("DRAINING", "draining"),
		{"ADDRESSES", pairs("addresses")}, member("ENTITIES", "entities"),
		{"DESCRIPTORS", func(r arm.Resource) string {
			return r.Text("descriptors_open") + " of " + r.Text("descriptors_max")
		}},
	}}
	loopsView = view{columns: []column{
		member("LOOP", "index"), member("CONNECTIONS", "connections"), member("ACCEPTED", "accepted"),
		member("REFUSED", "refused"), {"TO LISTENERS", size("bytes_to_listener")},
		{"TO SENDERS", size("bytes_to_sender")}, {"LEFTOVER", size("leftover_bytes")},
	}}
	connectionsView = view{columns: []column{member("ROLE", "role"), member("CONNECTIONS", "count")}}
	listenersView   = view{columns: []column{
		member("ENTITY", "entity"), member("PEER", "peer"), {"SINCE", stamp("since")},
		{"TOKEN EXPIRES", stamp("token_expires")}, member("TRACKING ID", "tracking_id"),
	}}
	pendingView = view{columns: []column{
		member("ENTITY", "entity"), member("PEER", "peer"), {"EXPIRES", stamp("expires")},
		member("TRACKING ID", "tracking_id"),
	}}
	poolsView = view{columns: []column{
		member("POOL", "name"), {"USED", size("used_bytes")}, {"PEAK", size("peak_bytes")},
		{"MOST", size("max_bytes")},
	}}
	closedView = view{columns: []column{
		{"TIME", stamp("time")}, member("ROLE", "role"), member("REASON", "reason"),
		member("ENTITY", "entity"), member("PEER", "peer"), {"IN", size("bytes_in")},
		{"OUT", size("bytes_out")}, {"LASTED", seconds("seconds")}, member("DETAIL", "detail"),
	}}
	certificatesView = view{columns: []column{
		{"NAMES", func(r arm.Resource) string { return strings.Join(r.Texts("names"), " ") }},
		{"EXPIRES", stamp("not_after")}, member("ISSUER", "issuer"), member("SOURCE", "source"),
		member("PROBLEM", "problem"),
	}}
)

func size(name string) func(arm.Resource) string {
	return func(r arm.Resource) string { return bytesText(r.Text(name)) }
}

func seconds(name string) func(arm.Resource) string {
	return func(r arm.Resource) string {
		n, err := strconv.ParseFloat(r.Text(name), 64)
		if err != nil {
			return ""
		}
		return time.Duration(n * float64(time.Second)).Round(time.Millisecond).String()
	}
}

func pairs(name string) func(arm.Resource) string {
	return func(r arm.Resource) string {
		m, _ := r[name].(map[string]any)
		var list []string
		for key := range m {
			if text := arm.Resource(m).Text(key); text != "" {
				list = append(list, key+"="+text)
			}
		}
		return strings.Join(sorted(list), " ")
	}
}

func all(answer any) []arm.Resource {
	list, _ := answer.([]any)
	var found []arm.Resource
	for _, item := range list {
		if m, ok := item.(map[string]any); ok {
			found = append(found, m)
		}
	}
	return found
}

func items(answer any) []arm.Resource {
	m, _ := answer.(map[string]any)
	return all(m["items"])
}

func oneOf(name string) func(any) []arm.Resource {
	return func(answer any) []arm.Resource {
		m, _ := answer.(map[string]any)
		one, _ := m[name].(map[string]any)
		return []arm.Resource{one}
	}
}

func counts(answer any) []arm.Resource {
	m, _ := answer.(map[string]any)
	var found []arm.Resource
	for role, count := range m {
		found = append(found, arm.Resource{"role": role, "count": count})
	}
	slices.SortFunc(found, func(x, y arm.Resource) int {
		return strings.Compare(x.Text("role"), y.Text("role"))
	})
	return found
}

// showFlags are those of every part.
type showFlags struct {
	watch    bool
	interval time.Duration
	limit    int
}

func (a *app) showCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "show",
		Short: "what the gateway is doing, from its admin port",
		Long: `Show what the gateway is doing: a part of /status of its admin port, which is not the
management API and wants no token; --admin, or the context, says where it is.`,
		Example: `  relayctl show listeners
  relayctl show conns --watch
  relayctl show closed --limit 20 -o json`,
	}
	asGroup(cmd)
	for _, p := range parts {
		cmd.AddCommand(a.showPartCommand(p))
	}
	return cmd
}

func (a *app) showPartCommand(p part) *cobra.Command {
	var s showFlags
	cmd := &cobra.Command{Use: p.name, Short: p.short, Args: cobra.NoArgs}
	f := cmd.Flags()
	f.SortFlags = false
	f.BoolVarP(&s.watch, "watch", "w", false, "show it again and again")
	f.DurationVar(&s.interval, "interval", watchInterval, "`TIME` between two times")
	f.IntVar(&s.limit, "limit", showLimitDefault, "most `LINES` of a list")
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		if s.limit < 1 || s.limit > showLimitMax {
			return usage("--limit: want 1 to %d, got %d", showLimitMax, s.limit)
		}
		if s.interval < watchIntervalMin {
			return usage("--interval: want at least %v, got %v", watchIntervalMin, s.interval)
		}
		return a.show(cmd.Context(), p, s)
	}
	return cmd
}

// show writes a part, once or until it is interrupted.
func (a *app) show(ctx context.Context, p part, s showFlags) error {
	for {
		answer, err := a.status(ctx, p.path, s.limit)
		if err != nil {
			if s.watch && ctx.Err() != nil {
				return nil
			}
			return fmt.Errorf("show %s: %w", p.name, err)
		}
		if s.watch && a.Terminal && a.flags.output == outputTable {
			if err := a.write(clearScreen); err != nil {
				return err
			}
		}
		if err := a.printPart(p, answer); err != nil || !s.watch {
			return err
		}
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(s.interval):
		}
	}
}

func (a *app) printPart(p part, answer any) error {
	switch {
	case a.flags.output == outputJSON || a.flags.output == outputYAML:
		if p.path == "" {
			return a.printValue(p.list(answer)[0])
		}
		return a.printValue(answer)
	case p.path == "":
		return a.printOne(p.view, p.list(answer)[0])
	}
	list := p.list(answer)
	if err := a.printList(p.view, list); err != nil {
		return err
	}
	m, _ := answer.(map[string]any)
	total, err := strconv.Atoi(arm.Resource(m).Text("total"))
	if err == nil && total > len(list) {
		return a.say("… %d of %d; --limit shows more", len(list), total)
	}
	return nil
}

// status fetches a part of /status; the empty one is all of it.
func (a *app) status(ctx context.Context, path string, limit int) (any, error) {
	p, err := a.place()
	if err != nil {
		return nil, err
	}
	if p.admin == "" {
		return nil, usage("%s has no admin URL; add it with \"relayctl context set\", or give --admin",
			p.source)
	}
	base, err := baseURL("--admin", p.admin, "http")
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(ctx, a.flags.timeout)
	defer cancel()
	base.Path = strings.TrimSuffix("/status/"+path, "/")
	base.RawQuery = "limit=" + strconv.Itoa(limit)
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, base.String(), nil)
	if err != nil {
		return nil, err
	}
	client := http.Client{CheckRedirect: func(*http.Request, []*http.Request) error {
		return http.ErrUseLastResponse
	}}
	resp, err := client.Do(req)
	if err != nil {
		return nil, err
	}
	defer func() { _ = resp.Body.Close() }()
	text, err := io.ReadAll(io.LimitReader(resp.Body, arm.AnswerMax+1))
	switch {
	case err != nil:
		return nil, err
	case len(text) > arm.AnswerMax:
		return nil, arm.ErrAnswerSize
	case resp.StatusCode != http.StatusOK:
		return nil, fmt.Errorf("%s answered %s; is it the admin port?", base.Host, arm.Line(resp.Status))
	}
	d := json.NewDecoder(strings.NewReader(string(text)))
	d.UseNumber()
	var answer any
	if err := d.Decode(&answer); err != nil {
		return nil, errors.New(base.Host + " answered something else than JSON; is it the admin port?")
	}
	return answer, nil
}
