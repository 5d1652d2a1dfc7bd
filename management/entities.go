package management

import (
	"net/http"
	"strings"
	"time"

	"github.com/relayhouse/relayhouse/namespace"
)

const (
	statusDisabled = "Disabled"
	// Words for times: no limit, and the gateway's own.
	timeNever   = "never"
	timeDefault = "default"
)

// entityView is a hybrid connection or a WCF relay as it is written.
type entityView struct {
	resource
	Properties entityProperties `json:"properties"`
	SystemData *systemData      `json:"systemData,omitempty"`
}

type entityProperties struct {
	CreatedAt                   string `json:"createdAt,omitempty"`
	UpdatedAt                   string `json:"updatedAt,omitempty"`
	IsDynamic                   *bool  `json:"isDynamic,omitempty"` // of a WCF relay
	ListenerCount               *int   `json:"listenerCount,omitempty"`
	RelayType                   string `json:"relayType,omitempty"` // of a WCF relay
	RequiresClientAuthorization bool   `json:"requiresClientAuthorization"`
	RequiresTransportSecurity   *bool  `json:"requiresTransportSecurity,omitempty"` // likewise
	UserMetadata                string `json:"userMetadata,omitempty"`

	// Ours, where they are not the default.
	Status              string `json:"status,omitempty"`
	ListenersMax        int    `json:"listenersMax,omitempty"`
	HTTPResponseTimeout string `json:"httpResponseTimeout,omitempty"`
	HTTPBodyGap         string `json:"httpBodyGap,omitempty"`
	HTTPDelivery        string `json:"httpDelivery,omitempty"`
}

// entityID is the id of an entity, of which namespaceID is that of its
// namespace.
func entityID(namespaceID string, e *namespace.Entity) string {
	return namespaceID + "/" + kindWord(e.Kind) + "/" + segment(e.Name)
}

func (c *call) viewEntity(namespaceID string, e *namespace.Entity) entityView {
	view := plainEntity(namespaceID, e)
	count := c.o.Listeners(e.Key())
	view.Properties.ListenerCount = &count
	view.SystemData = newSystemData(c.version, e.CreatedAt, e.UpdatedAt)
	return view
}

// plainEntity is the view without what changes by itself.
func plainEntity(namespaceID string, e *namespace.Entity) entityView {
	p := entityProperties{
		CreatedAt: formatTime(e.CreatedAt), UpdatedAt: formatTime(e.UpdatedAt),
		RequiresClientAuthorization: e.RequiresClientAuthorization,
		UserMetadata:                e.UserMetadata,
		ListenersMax:                e.ListenersMax,
		HTTPResponseTimeout:         formatSpan(e.HTTPResponseTimeout),
		HTTPBodyGap:                 formatSpan(e.HTTPBodyGap),
	}
	if e.Disabled {
		p.Status = statusDisabled
	}
	if e.HTTPDelivery != namespace.DeliveryAuto {
		p.HTTPDelivery = e.HTTPDelivery.String()
	}
	if e.Kind == namespace.KindWCFRelay {
		dynamic, secure := false, e.RequiresTransportSecurity
		p.IsDynamic, p.RequiresTransportSecurity = &dynamic, &secure
		p.RelayType = string(e.RelayType)
	}
	return entityView{
		resource: resource{
			ID: entityID(namespaceID, e), Name: e.Name,
			Type: typeNamespace + "/" + kindWord(e.Kind),
		},
		Properties: p,
	}
}

// formatSpan writes a time of an entity; "" is the gateway's.
func formatSpan(d time.Duration) string {
	switch d {
	case 0:
		return ""
	case namespace.Never:
		return timeNever
	}
	return d.String()
}

// entityETag is that of an entity with its rules, without keys.
func entityETag(e *namespace.Entity) string {
	return etag("entity", e.Name, e.RequiresClientAuthorization, e.UserMetadata, e.Disabled,
		e.ListenersMax, e.HTTPResponseTimeout, e.HTTPBodyGap, e.HTTPDelivery, e.RelayType,
		e.RequiresTransportSecurity, e.UpdatedAt.UnixNano())
}

func (c *call) listEntities() (answer, error) {
	n, d, err := c.parent(c.snapshot())
	if err != nil {
		return answer{}, err
	}
	id := c.namespaceID(&d)
	return writePage(c, n.Entities(c.kind), (*namespace.Entity).Key,
		func(e *namespace.Entity) any { return c.viewEntity(id, e) })
}

func (c *call) answerEntity(d *namespace.Definition, e *namespace.Entity) answer {
	return answer{
		status: http.StatusOK, body: c.viewEntity(c.namespaceID(d), e), etag: entityETag(e),
	}
}

// getEntity answers 404 for a hybrid connection that is not there and 204 for
// such a WCF relay. Source: docs/protocol.md, section 13.2.
func (c *call) getEntity() (answer, error) {
	n, d, err := c.parent(c.snapshot())
	if err != nil {
		return answer{}, err
	}
	e := n.Entity(c.kind, c.entity)
	if e == nil {
		if c.kind == namespace.KindWCFRelay {
			return answer{status: http.StatusNoContent}, nil
		}
		return answer{}, faultNotFound(c.kind.String(), c.entity)
	}
	return c.answerEntity(&d, e), nil
}

// entityInput is what a body says of an entity; nil where it says nothing.
type entityInput struct {
	authorization, security *bool
	metadata                *string
	relayType, status       string
	delivery                string
	listenersMax            *int
	responseTimeout         *time.Duration
	bodyGap                 *time.Duration
}

func (c *call) readEntity() (entityInput, error) {
	var in entityInput
	body, err := c.readBody()
	if err != nil {
		return in, err
	}
	p := body.object("properties")
	in.authorization = p.boolean("requiresClientAuthorization")
	in.metadata = p.text("userMetadata")
	if c.kind == namespace.KindWCFRelay {
		in.relayType = p.choice("relayType",
			string(namespace.RelayNetTCP), string(namespace.RelayHTTP))
		in.security = p.boolean("requiresTransportSecurity")
	}
	in.status = p.choice("status", stateActive, statusDisabled)
	in.listenersMax = p.number("listenersMax")
	in.responseTimeout = readSpan(p, "httpResponseTimeout")
	in.bodyGap = readSpan(p, "httpBodyGap")
	in.delivery = p.choice("httpDelivery",
		namespace.DeliveryAuto.String(), namespace.DeliveryRendezvous.String())
	return in, body.problem()
}

// readSpan reads a time of an entity: a Go duration, never, or default for the
// gateway's. Package namespace checks its range.
func readSpan(f *fields, name string) *time.Duration {
	text := f.text(name)
	if text == nil {
		return nil
	}
	var d time.Duration
	switch strings.ToLower(*text) {
	case timeNever:
		d = namespace.Never
	case timeDefault:
	default:
		var err error
		if d, err = time.ParseDuration(*text); err != nil || d <= 0 {
			f.refuse(name, "want a time such as 90s, %s or %s, got '%s'", timeNever, timeDefault,
				shown(*text))
		}
	}
	return &d
}

// apply sets what the body says, and the defaults of Azure where it is silent
// about a member of Azure. Of ours, those that it is silent about stay. The
// relay type of a WCF relay that is there stays too if it says none.
func (in *entityInput) apply(e *namespace.Entity) {
	e.RequiresClientAuthorization = in.authorization == nil || *in.authorization
	e.UserMetadata = ""
	if in.metadata != nil {
		e.UserMetadata = *in.metadata
	}
	if e.Kind == namespace.KindWCFRelay {
		e.RequiresTransportSecurity = in.security == nil || *in.security
		if in.relayType != "" {
			e.RelayType = namespace.RelayType(in.relayType)
		} else if e.RelayType == "" {
			e.RelayType = namespace.RelayNetTCP
		}
	}
	if in.status != "" {
		e.Disabled = in.status == statusDisabled
	}
	if in.listenersMax != nil {
		e.ListenersMax = *in.listenersMax
	}
	if in.responseTimeout != nil {
		e.HTTPResponseTimeout = *in.responseTimeout
	}
	if in.bodyGap != nil {
		e.HTTPBodyGap = *in.bodyGap
	}
	switch in.delivery {
	case namespace.DeliveryAuto.String():
		e.HTTPDelivery = namespace.DeliveryAuto
	case namespace.DeliveryRendezvous.String():
		e.HTTPDelivery = namespace.DeliveryRendezvous
	}
}

// putEntity makes an entity or changes it; both are 200.
func (c *call) putEntity() (answer, error) {
	in, err := c.readEntity()
	if err != nil {
		return answer{}, err
	}
	next, err := c.o.Writer.Update(func(s *namespace.Snapshot) ([]namespace.Change, error) {
		n, d, err := c.parent(s)
		if err != nil {
			return nil, err
		}
		e, current := namespace.Entity{Kind: c.kind, Name: c.entity}, ""
		if old := n.Entity(c.kind, c.entity); old != nil {
			e, current = *old, entityETag(old)
			c.note.before = plainEntity(c.namespaceID(&d), old)
		}
		if err := c.check(current); err != nil {
			return nil, err
		}
		in.apply(&e)
		return []namespace.Change{namespace.PutEntity(d.Name, e)}, nil
	})
	if err != nil {
		return answer{}, err
	}
	n, d, err := c.parent(next)
	if err != nil {
		return answer{}, err
	}
	e := n.Entity(c.kind, c.entity)
	if e == nil {
		return answer{}, faultConflict("The %v '%s' was removed meanwhile.", c.kind,
			shown(c.entity))
	}
	c.note.after = plainEntity(c.namespaceID(&d), e)
	return c.answerEntity(&d, e), nil
}

func (c *call) deleteEntity() (answer, error) {
	status := http.StatusNoContent
	_, err := c.o.Writer.Update(func(s *namespace.Snapshot) ([]namespace.Change, error) {
		n, d, err := c.parent(s)
		if err != nil {
			return nil, err
		}
		e := n.Entity(c.kind, c.entity)
		if e == nil {
			return nil, nil
		}
		c.note.before = plainEntity(c.namespaceID(&d), e)
		if err := c.check(entityETag(e)); err != nil {
			return nil, err
		}
		status = http.StatusOK
		return []namespace.Change{namespace.DeleteEntity(d.Name, c.kind, e.Name)}, nil
	})
	return answer{status: status}, err
}
