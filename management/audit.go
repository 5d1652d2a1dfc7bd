package management

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"net/http"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"github.com/relayhouse/relayhouse/namespace"
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

// AuditLog appends lines to a file, or to the log where there is none. The
// file is opened for each line: changes are rare and wait for the disk anyway,
// and a file that was renamed by a log rotation is left at once.
//
// A line that cannot be written does not undo a change that is on disk, and
// refusing the next changes would let a full log disk take the gateway out of
// its owner's hands. So the failure is logged and counted, and the client is
// answered as usual.
type AuditLog struct {
	path string
	log  *slog.Logger
	mu   sync.Mutex // lines do not mix

	failures atomic.Uint64
}

// OpenAuditLog returns the audit log in the file path; empty for log.
//
//	Errors: the file cannot be written.
func OpenAuditLog(path string, log *slog.Logger) (*AuditLog, error) {
	l := &AuditLog{path: path, log: log}
	if path == "" {
		return l, nil
	}
	file, err := os.OpenFile(path, os.O_APPEND|os.O_CREATE|os.O_WRONLY, auditModeFile)
	if err != nil {
		return nil, fmt.Errorf("open audit log: %w", err)
	}
	return l, file.Close()
}

// Failures is the number of lines that could not be written since the start.
func (l *AuditLog) Failures() uint64 { return l.failures.Load() }

// EntityChange is a change of an entity that came to the data port, made or
// refused.
type EntityChange struct {
	Time       time.Time
	Rule       string // that signed the token
	Address    string
	Operation  string // Microsoft.Relay/namespaces/HybridConnections/write and so on
	Namespace  namespace.Definition
	Kind       namespace.Kind
	Name       string // of the entity
	Status     int    // of the response
	TrackingID string
	// Before and After are nil where there is no entity, or nothing changed.
	Before, After *namespace.Entity
}

// RecordEntity notes a change that did not come through the API.
func (l *AuditLog) RecordEntity(e EntityChange) {
	id := namespaceID(&e.Namespace, noSubscription, defaultGroup)
	view := func(entity *namespace.Entity) any {
		if entity == nil {
			return nil
		}
		return plainEntity(id, entity)
	}
	l.write(&auditLine{
		Time: e.Time.UTC().Format(time.RFC3339Nano), Actor: "rule " + e.Rule, Address: e.Address,
		OperationName: e.Operation,
		ResourceID:    entityID(id, &namespace.Entity{Kind: e.Kind, Name: e.Name}),
		Status:        e.Status, CorrelationID: e.TrackingID,
		Before: view(e.Before), After: view(e.After),
	})
}

// write appends a line, see AuditLog.
func (l *AuditLog) write(line *auditLine) {
	if err := l.append(line); err != nil {
		l.failures.Add(1)
		l.log.Error("audit log cannot be written", slog.Any("error", err),
			slog.String("operation", line.OperationName), slog.String("resource", line.ResourceID),
			slog.String("actor", line.Actor), slog.String("correlation_id", line.CorrelationID))
	}
}

// append writes one line.
func (l *AuditLog) append(line *auditLine) error {
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
	c.o.Audit.write(&line)
}
