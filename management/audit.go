package management

import (
	"context"
	"encoding/json"
	"log/slog"
	"net/http"
	"os"
	"sync"
	"time"
)

// auditModeFile is the mode of an audit log that is made here.
const auditModeFile = 0o600

// note is what a change leaves in the audit log. It never holds a key.
type note struct {
	before, after any
	regenerated   string // PrimaryKey or SecondaryKey
}

// auditLine is a line of the audit log, one JSON object.
type auditLine struct {
	Time          string `json:"time"`
	Actor         string `json:"actor"`
	Address       string `json:"address"`
	OperationName string `json:"operationName"`
	ResourceID    string `json:"resourceId"`
	Status        int    `json:"status"`
	Code          string `json:"code,omitempty"` // of the refusal
	CorrelationID string `json:"correlationId"`
	Before        any    `json:"before,omitempty"`
	After         any    `json:"after,omitempty"`
	Regenerated   string `json:"regenerated,omitempty"`
}

// auditLog appends lines to a file, or to the log where there is none. The
// file is opened for each line: changes are rare and wait for the disk anyway,
// and a file that was renamed by a log rotation is left at once.
type auditLog struct {
	path string
	log  *slog.Logger
	mu   *sync.Mutex // nil before check; lines do not mix
}

// check finds out at the start whether the file can be written.
func (l *auditLog) check() error {
	l.mu = new(sync.Mutex)
	if l.path == "" {
		return nil
	}
	file, err := os.OpenFile(l.path, os.O_APPEND|os.O_CREATE|os.O_WRONLY, auditModeFile)
	if err != nil {
		return err
	}
	return file.Close()
}

// append writes one line.
func (l *auditLog) append(line *auditLine) error {
	if l.path == "" {
		l.log.LogAttrs(context.Background(), slog.LevelInfo, "management change",
			slog.String("actor", line.Actor), slog.String("address", line.Address),
			slog.String("operationName", line.OperationName),
			slog.String("resourceId", line.ResourceID), slog.Int("status", line.Status),
			slog.String("code", line.Code), slog.String("correlationId", line.CorrelationID),
			slog.Any("before", line.Before), slog.Any("after", line.After),
			slog.String("regenerated", line.Regenerated))
		return nil
	}
	text, err := json.Marshal(line)
	if err != nil {
		return err
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	file, err := os.OpenFile(l.path, os.O_APPEND|os.O_CREATE|os.O_WRONLY, auditModeFile)
	if err != nil {
		return err
	}
	_, err = file.Write(append(text, '\n'))
	if closeErr := file.Close(); err == nil {
		err = closeErr
	}
	return err
}

// record notes a change, made or refused, before its client is answered. A
// DELETE of what is not there, 204, is neither.
//
// A line that cannot be written does not undo a change that is on disk, and
// refusing the next changes would let a full log disk take the gateway out of
// its owner's hands. So the failure is logged and counted, and the client is
// answered as usual.
func (c *call) record(status int, code string) {
	if c.action == nil || !c.action.changes || status == http.StatusNoContent {
		return
	}
	line := auditLine{
		Time:  c.o.Now().UTC().Format(time.RFC3339Nano),
		Actor: c.client.name, Address: c.r.RemoteAddr,
		OperationName: c.action.name(), ResourceID: c.id, Status: status, Code: code,
		CorrelationID: c.correlationID,
		Before:        c.note.before, After: c.note.after, Regenerated: c.note.regenerated,
	}
	if code != "" {
		line.After, line.Regenerated = nil, ""
	}
	if err := c.audit.append(&line); err != nil {
		c.auditFailures.Add(1)
		c.log.Error("audit log cannot be written", slog.Any("error", err),
			slog.String("operation", line.OperationName), slog.String("resource", line.ResourceID),
			slog.String("actor", line.Actor), slog.String("correlation_id", line.CorrelationID))
	}
}
