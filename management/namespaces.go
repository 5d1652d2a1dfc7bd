package management

import (
	"maps"
	"net/http"
	"slices"
	"strconv"
	"strings"

	"github.com/relayhouse/relayhouse/namespace"
	"github.com/relayhouse/relayhouse/sas"
)

const (
	// The names that the API gives to new namespaces. Source: docs/protocol.md,
	// section 13.7.
	namespaceNameMin = 6
	namespaceNameMax = 50
	textName         = "The namespace name can contain only letters, numbers, and hyphens. " +
		"The namespace must start with a letter, and it must end with a letter or number. " +
		"The name must be 6 to 50 characters long."

	skuStandard = "Standard"
	stateDone   = "Succeeded"
	stateActive = "Active"
	httpsPort   = 443

	// rootRule is the rule that every namespace is born with.
	rootRule = "RootManageSharedAccessKey"
)

// namespaceView is a namespace as it is written.
type namespaceView struct {
	resource
	Location   string              `json:"location"`
	Tags       map[string]string   `json:"tags,omitempty"`
	SKU        sku                 `json:"sku"`
	Properties namespaceProperties `json:"properties"`
	SystemData *systemData         `json:"systemData,omitempty"`
}

type sku struct {
	Name     string `json:"name"`
	Tier     string `json:"tier"`
	Capacity int    `json:"capacity,omitempty"` // of a cluster
}

type namespaceProperties struct {
	ProvisioningState   string   `json:"provisioningState"`
	Status              string   `json:"status,omitempty"`
	CreatedAt           string   `json:"createdAt,omitempty"`
	UpdatedAt           string   `json:"updatedAt,omitempty"`
	ServiceBusEndpoint  string   `json:"serviceBusEndpoint"`
	MetricID            string   `json:"metricId"`
	PublicNetworkAccess string   `json:"publicNetworkAccess,omitempty"`
	MinimumTLSVersion   string   `json:"minimumTlsVersion,omitempty"`
	Hosts               []string `json:"hosts,omitempty"` // ours
}

// viewNamespace is n in the form of a version.
func (c *call) viewNamespace(n *namespace.Namespace, v version) namespaceView {
	d := n.Settings()
	host, port := c.o.Endpoint(n)
	subscription := d.Subscription
	if subscription == "" {
		subscription = c.subscription
	}
	view := namespaceView{
		resource: resource{ID: c.namespaceID(&d), Name: d.Name, Type: typeNamespace},
		Location: d.Location, Tags: d.Tags, SKU: sku{Name: skuStandard, Tier: skuStandard},
		Properties: namespaceProperties{
			ProvisioningState: stateDone,
			CreatedAt:         formatTime(d.CreatedAt), UpdatedAt: formatTime(d.UpdatedAt),
			ServiceBusEndpoint: "https://" + joinHost(host, port) + "/",
			MetricID:           subscription + ":" + d.Name,
		},
		SystemData: newSystemData(v, d.CreatedAt, d.UpdatedAt),
	}
	if view.Location == "" {
		view.Location = defaultLocation
	}
	p := &view.Properties
	if !slices.Equal(d.Hosts, c.defaultHosts(d.Name)) {
		p.Hosts = d.Hosts
	}
	if v.networks() {
		p.Status, p.PublicNetworkAccess = stateActive, string(accessOf(&d))
	}
	if v.minimumTLS() {
		if p.MinimumTLSVersion = d.MinimumTLSVersion; p.MinimumTLSVersion == "" {
			p.MinimumTLSVersion = "1.2"
		}
	}
	return view
}

func accessOf(d *namespace.Definition) namespace.PublicNetworkAccess {
	if d.PublicNetworkAccess == "" {
		return namespace.AccessEnabled
	}
	return d.PublicNetworkAccess
}

// defaultHosts are the host names of a namespace that is made here.
func (c *call) defaultHosts(name string) []string {
	if c.o.Domain == "" {
		return nil
	}
	return []string{strings.ToLower(name) + "." + c.o.Domain}
}

// joinHost writes host:port, an IPv6 address in brackets.
func joinHost(host string, port int) string {
	if strings.Contains(host, ":") && !strings.HasPrefix(host, "[") {
		host = "[" + host + "]"
	}
	return host + ":" + strconv.Itoa(port)
}

// namespaceETag is that of a namespace with its rules, without keys.
func namespaceETag(d *namespace.Definition) string {
	return etag("namespace", d.Name, d.Location, d.Tags, d.Hosts, d.PublicNetworkAccess,
		d.MinimumTLSVersion, d.UpdatedAt.UnixNano())
}

func (c *call) answerNamespace(status int, n *namespace.Namespace) answer {
	d := n.Settings()
	return answer{status: status, body: c.viewNamespace(n, c.version), etag: namespaceETag(&d)}
}

// visible returns the namespaces that the client asked for, by name.
func (c *call) visible() []*namespace.Namespace {
	var all []*namespace.Namespace
	for _, n := range c.snapshot().Namespaces() {
		if d := n.Settings(); c.sees(&d) {
			all = append(all, n)
		}
	}
	slices.SortFunc(all, func(a, b *namespace.Namespace) int {
		return strings.Compare(namespaceKey(a), namespaceKey(b))
	})
	return all
}

func namespaceKey(n *namespace.Namespace) string { return strings.ToLower(n.Name()) }

func (c *call) listNamespaces() (answer, error) {
	return writePage(c, c.visible(), namespaceKey, func(n *namespace.Namespace) any {
		return c.viewNamespace(n, c.version)
	})
}

// findNamespace returns the namespace of the path; nil if there is none.
func (c *call) findNamespace(s *namespace.Snapshot) *namespace.Namespace {
	n := s.Namespace(c.namespace)
	if n == nil {
		return nil
	}
	if d := n.Settings(); !c.sees(&d) {
		return nil
	}
	return n
}

func (c *call) getNamespace() (answer, error) {
	n := c.findNamespace(c.snapshot())
	if n == nil {
		return answer{}, c.noNamespace()
	}
	return c.answerNamespace(http.StatusOK, n), nil
}

func (c *call) noNamespace() *fault {
	return newFault(http.StatusNotFound, codeNotFound, "The Resource "+
		"'Microsoft.Relay/namespaces/%s' under resource group '%s' was not found.",
		shown(c.namespace), shown(c.group))
}

// namespaceInput is what a body says of a namespace; nil where it says nothing.
type namespaceInput struct {
	location *string
	tags     map[string]string
	hasTags  bool
	access   string
	tls      string
	hosts    []string
	hasHosts bool
}

func (c *call) readNamespace() (namespaceInput, error) {
	var in namespaceInput
	body, err := c.readBody()
	if err != nil {
		return in, err
	}
	in.location = body.text("location")
	in.tags, in.hasTags = body.dictionary("tags")
	if s := body.object("sku"); s.choice("name", skuStandard) == "" && body.has("sku") {
		s.refuse("name", "want %s", skuStandard)
	} else {
		s.choice("tier", skuStandard)
	}
	p := body.object("properties")
	in.hosts, in.hasHosts = p.texts("hosts")
	if c.version.networks() {
		in.access = p.choice("publicNetworkAccess", accessWords...)
		if list, _ := p.list("privateEndpointConnections"); len(list) > 0 {
			p.refuse("privateEndpointConnections", "this gateway has none")
		}
	}
	if c.version.minimumTLS() {
		in.tls = p.choice("minimumTlsVersion", "1.2", "1.3")
		id := p.text("clusterArmId")
		if id != nil && *id != "" && !strings.HasSuffix(strings.ToLower(*id), "/"+clusterName) {
			p.refuse("clusterArmId", "want the id of the cluster '%s'", clusterName)
		}
	}
	return in, body.problem()
}

var accessWords = []string{
	string(namespace.AccessEnabled), string(namespace.AccessDisabled),
	string(namespace.AccessSecuredByPerimeter),
}

// putNamespace makes a namespace, with its first rule, or replaces the settings
// of one. Rules, entities and networks stay; what the version does not know
// stays too.
func (c *call) putNamespace() (answer, error) {
	in, err := c.readNamespace()
	if err != nil {
		return answer{}, err
	}
	if in.location == nil || strings.TrimSpace(*in.location) == "" {
		return answer{}, faultBadRequest("location",
			"The location property is required for this definition.")
	}
	status := http.StatusOK
	next, err := c.o.Writer.Update(func(s *namespace.Snapshot) ([]namespace.Change, error) {
		n := s.Namespace(c.namespace)
		if n == nil {
			status = http.StatusCreated
			d, err := c.newNamespace(&in)
			return []namespace.Change{namespace.PutNamespace(d)}, err
		}
		d := n.Settings()
		if !c.sees(&d) {
			return nil, faultConflict("The namespace name '%s' is in use in another subscription "+
				"or resource group.", shown(c.namespace))
		}
		c.note.before = c.auditNamespace(n)
		if err := c.check(namespaceETag(&d)); err != nil {
			return nil, err
		}
		if err := in.replace(&d, c.version); err != nil {
			return nil, err
		}
		return []namespace.Change{namespace.PutNamespace(d)}, nil
	})
	return c.namespaceChanged(status, next, err)
}

// namespaceChanged answers with a namespace that was made or changed.
func (c *call) namespaceChanged(
	status int, s *namespace.Snapshot, err error,
) (answer, error) {
	if err != nil {
		return answer{}, err
	}
	n := c.findNamespace(s)
	if n == nil {
		return answer{}, faultConflict("The namespace '%s' was removed meanwhile.",
			shown(c.namespace))
	}
	c.note.after = c.auditNamespace(n)
	return c.answerNamespace(status, n), nil
}

// auditNamespace is a namespace as the audit log has it.
func (c *call) auditNamespace(n *namespace.Namespace) any {
	view := c.viewNamespace(n, versionsEnd-1)
	view.SystemData = nil
	return view
}

// newNamespace is the definition of a namespace that is made now.
func (c *call) newNamespace(in *namespaceInput) (namespace.Definition, error) {
	d := namespace.Definition{
		Name: c.namespace, Subscription: c.subscription, ResourceGroup: c.group,
		Location: *in.location, Hosts: c.defaultHosts(c.namespace),
		Rules: []namespace.Rule{{
			Name: rootRule, Rights: sas.Listen | sas.Send | sas.Manage,
			PrimaryKey: c.newKey(), SecondaryKey: c.newKey(),
		}},
	}
	if !validNamespaceName(c.namespace) {
		return d, faultBadRequest("name", "The specified namespace name '%s' is invalid. %s",
			shown(c.namespace), textName)
	}
	if err := c.check(""); err != nil {
		return d, err
	}
	return d, in.replace(&d, c.version)
}

// validNamespaceName says whether the API makes a namespace of that name; the
// rest is checked by package namespace.
func validNamespaceName(name string) bool {
	if len(name) < namespaceNameMin || len(name) > namespaceNameMax {
		return false
	}
	for i := range len(name) {
		c := name[i] | 0x20 // letters in lower case
		letter, digit := 'a' <= c && c <= 'z', '0' <= name[i] && name[i] <= '9'
		if !letter && (i == 0 || !digit && name[i] != '-') {
			return false
		}
	}
	return name[len(name)-1] != '-'
}

// replace is PUT: what the body does not say gets its default, unless the
// version does not know it or it is ours.
func (in *namespaceInput) replace(d *namespace.Definition, v version) error {
	labelled := d.Subscription != "" || d.ResourceGroup != ""
	if labelled && d.Location != "" && plainLocation(*in.location) != plainLocation(d.Location) {
		return newFault(http.StatusConflict, codeLocation, "The resource '%s' already exists in "+
			"location '%s'. A resource with the same name cannot be created in location '%s'. "+
			"Please select a new resource name.", d.Name, d.Location, shown(*in.location))
	}
	if !labelled || d.Location == "" {
		d.Location = *in.location
	}
	d.Tags = in.tags
	if v.networks() {
		d.PublicNetworkAccess = namespace.PublicNetworkAccess(in.access)
	}
	if v.minimumTLS() {
		d.MinimumTLSVersion = in.tls
	}
	if in.hasHosts {
		d.Hosts = in.hosts
	}
	return nil
}

// plainLocation makes "West US" and "westus" one.
func plainLocation(location string) string {
	return strings.ToLower(strings.ReplaceAll(location, " ", ""))
}

// patch is PATCH: what the body does not say stays.
func (in *namespaceInput) patch(d *namespace.Definition) {
	if in.hasTags {
		d.Tags = maps.Clone(in.tags)
	}
	if in.access != "" {
		d.PublicNetworkAccess = namespace.PublicNetworkAccess(in.access)
	}
	if in.tls != "" {
		d.MinimumTLSVersion = in.tls
	}
	if in.hasHosts {
		d.Hosts = in.hosts
	}
}

func (c *call) patchNamespace() (answer, error) {
	in, err := c.readNamespace()
	if err != nil {
		return answer{}, err
	}
	next, err := c.o.Writer.Update(func(s *namespace.Snapshot) ([]namespace.Change, error) {
		n := c.findNamespace(s)
		if n == nil {
			return nil, c.noNamespace()
		}
		d := n.Settings()
		c.note.before = c.auditNamespace(n)
		if err := c.check(namespaceETag(&d)); err != nil {
			return nil, err
		}
		in.patch(&d)
		return []namespace.Change{namespace.PutNamespace(d)}, nil
	})
	return c.namespaceChanged(http.StatusOK, next, err)
}

// deleteNamespace removes a namespace with all that is in it.
func (c *call) deleteNamespace() (answer, error) {
	status := http.StatusNoContent
	_, err := c.o.Writer.Update(func(s *namespace.Snapshot) ([]namespace.Change, error) {
		n := c.findNamespace(s)
		if n == nil {
			return nil, nil
		}
		d := n.Settings()
		c.note.before = c.auditNamespace(n)
		if err := c.check(namespaceETag(&d)); err != nil {
			return nil, err
		}
		status = http.StatusOK
		return []namespace.Change{namespace.DeleteNamespace(d.Name)}, nil
	})
	return answer{status: status}, err
}

// The reasons why a name cannot be had. Source: docs/protocol.md, section 13.7.
const (
	reasonNone    = "None"
	reasonInvalid = "InvalidName"
	reasonInUse   = "NameInUse"
	reasonTooMany = "TooManyNamespaceInCurrentSubscription"
)

type nameView struct {
	NameAvailable bool   `json:"nameAvailable"`
	Reason        string `json:"reason"`
	Message       string `json:"message"`
}

// checkName says whether a namespace could be made.
func (c *call) checkName() (answer, error) {
	body, err := c.readBody()
	if err != nil {
		return answer{}, err
	}
	name := body.text("name")
	if err := body.problem(); err != nil {
		return answer{}, err
	}
	if name == nil {
		return answer{}, faultBadRequest("name", "name: want a string, got nothing.")
	}
	view := nameView{NameAvailable: true, Reason: reasonNone}
	s := c.snapshot()
	switch {
	case !validNamespaceName(*name):
		view = nameView{Reason: reasonInvalid, Message: textName}
	case s.Namespace(*name) != nil || c.hostTaken(s, *name):
		view = nameView{Reason: reasonInUse, Message: "The specified name is not available."}
	case c.o.NamespacesMax > 0 && len(s.Namespaces()) >= c.o.NamespacesMax:
		view = nameView{Reason: reasonTooMany, Message: "The subscription has reached its " +
			"limit of " + strconv.Itoa(c.o.NamespacesMax) + " namespaces."}
	}
	return answerOK(view), nil
}

// hostTaken says whether the host name that a namespace would get is another's.
func (c *call) hostTaken(s *namespace.Snapshot, name string) bool {
	for _, host := range c.defaultHosts(name) {
		for _, n := range s.Namespaces() {
			if !n.AnyHost() && n.HasHost(strings.ToLower(host)) {
				return true
			}
		}
	}
	return false
}
