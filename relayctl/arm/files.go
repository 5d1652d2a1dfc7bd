package arm

import (
	"context"
	"errors"
	"io"
	"net/http"
	"net/url"
	"time"
)

// Bounds on files, in bytes, and on the time for one.
const (
	DefinitionsMax = 64 << 20
	backupMax      = 16 << 30
	fileTimeout    = 15 * time.Minute
)

// ErrFileSize is a file that is longer than its bound.
var ErrFileSize = errors.New("the file is longer than it may be")

// Export writes the definitions of all namespaces to w, with keys: as YAML, or as
// the Config.json of an emulator.
func (c *Client) Export(ctx context.Context, emulator bool, w io.Writer) error {
	if emulator {
		return c.download(ctx, "/relayhouse/export", "form=emulator", w, DefinitionsMax)
	}
	return c.download(ctx, "/relayhouse/export", "", w, DefinitionsMax)
}

// Backup writes the gateway's store to w.
func (c *Client) Backup(ctx context.Context, w io.Writer) error {
	return c.download(ctx, "/relayhouse/backup", "", w, backupMax)
}

// Import sends definitions; mode is merge, replace or empty. It returns how many
// namespaces, entities and rules there were.
func (c *Client) Import(
	ctx context.Context, mode, contentType string, definitions io.Reader,
) (Resource, error) {
	ctx, cancel := context.WithTimeout(ctx, fileTimeout)
	defer cancel()
	address := c.address("/relayhouse/import", "")
	if mode != "" {
		address += "?mode=" + url.QueryEscape(mode)
	}
	resp, err := c.do(ctx, http.MethodPost, address, contentType, "", definitions)
	if err != nil {
		return nil, err
	}
	defer func() { _ = resp.Body.Close() }()
	a := answer{status: resp.StatusCode}
	if a.body, err = readAll(resp.Body); err != nil {
		return nil, err
	}
	return a.resource()
}

// Version returns what the gateway says of itself.
func (c *Client) Version(ctx context.Context) (Resource, error) {
	return c.one(ctx, http.MethodGet, c.address("/relayhouse/version", ""), "", nil)
}

func (c *Client) download(
	ctx context.Context, path, query string, w io.Writer, limit int64,
) error {
	ctx, cancel := context.WithTimeout(ctx, fileTimeout)
	defer cancel()
	address := c.address(path, "")
	if query != "" {
		address += "?" + query
	}
	resp, err := c.do(ctx, http.MethodGet, address, "", "", nil)
	if err != nil {
		return err
	}
	defer func() { _ = resp.Body.Close() }()
	n, err := io.Copy(w, io.LimitReader(resp.Body, limit+1))
	if err == nil && n > limit {
		err = ErrFileSize
	}
	return err
}
