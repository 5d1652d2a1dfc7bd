package management

import (
	"net/http"

	"github.com/relayhouse/relayhouse/namespace"
)

const (
	// clusterName is the name of the one cluster there is: this gateway.
	clusterName = "relayhouse"

	typeCluster  = "Microsoft.Relay/clusters"
	skuDedicated = "Dedicated"
	clusterUnits = 1
)

// clusters adds the paths of dedicated clusters. Source: docs/protocol.md,
// section 13.10.
func (b *builder) clusters() {
	type methods = map[string]action
	const since = v20260701Preview
	list := methods{http.MethodGet: read("clusters/read", (*call).listClusters)}
	b.add(inSubscription+"/availableClusterRegions", since, methods{
		http.MethodGet: read("clusters/read", (*call).listRegions),
	})
	b.add(inSubscription+"/clusters", since, list)
	b.add(inGroup+"/clusters", since, list)
	b.add(inCluster, since, methods{
		http.MethodGet: read("clusters/read", (*call).getCluster),
	})
	b.add(inCluster+"/namespaces", since, methods{
		http.MethodGet: read("clusters/read", (*call).listClusterNamespaces),
	})
	b.add(inCluster+"/skus", since, methods{
		http.MethodGet: read("clusters/read", (*call).listClusterSKUs),
	})
}

type clusterView struct {
	resource
	Location   string            `json:"location"`
	SKU        sku               `json:"sku"`
	Properties clusterProperties `json:"properties"`
}

type clusterProperties struct {
	ProvisioningState string `json:"provisioningState"`
	Status            string `json:"status"`
	MetricID          string `json:"metricId"`
	SupportsScaling   bool   `json:"supportsScaling"`
	ZoneRedundant     bool   `json:"zoneRedundant"`
}

func (c *call) viewCluster() clusterView {
	group := c.group
	if group == "" {
		group = defaultGroup
	}
	return clusterView{
		resource: resource{
			ID: "/subscriptions/" + segment(c.subscription) + "/resourceGroups/" +
				segment(group) + inProvider + "/clusters/" + clusterName,
			Name: clusterName, Type: typeCluster,
		},
		Location:   defaultLocation,
		SKU:        sku{Name: skuDedicated, Tier: skuDedicated, Capacity: clusterUnits},
		Properties: clusterProperties{stateDone, stateActive, clusterName, false, false},
	}
}

// findCluster refuses any name but that of the one cluster.
func (c *call) findCluster() error {
	if !equalFold(c.name, clusterName) {
		return faultNotFound("cluster", c.name)
	}
	return nil
}

func (c *call) listClusters() (answer, error) {
	return answerOK(page{Value: []any{c.viewCluster()}}), nil
}

func (c *call) getCluster() (answer, error) {
	if err := c.findCluster(); err != nil {
		return answer{}, err
	}
	return answerOK(c.viewCluster()), nil
}

// listClusterNamespaces lists the ids of all namespaces of the subscription:
// they are all here.
func (c *call) listClusterNamespaces() (answer, error) {
	if err := c.findCluster(); err != nil {
		return answer{}, err
	}
	group := c.group
	c.group = "" // a cluster holds namespaces of all groups
	all := c.visible()
	c.group = group
	return writePage(c, all, namespaceKey, func(n *namespace.Namespace) any {
		d := n.Settings()
		return struct {
			ID string `json:"id"`
		}{c.namespaceID(&d)}
	})
}

func (c *call) listClusterSKUs() (answer, error) {
	if err := c.findCluster(); err != nil {
		return answer{}, err
	}
	return answerOK(page{Value: []any{map[string]any{
		"resourceType": typeCluster,
		"sku":          map[string]any{"name": skuDedicated, "tier": skuDedicated},
		"capacity": map[string]any{
			"minimum": clusterUnits, "maximum": clusterUnits, "default": clusterUnits,
			"allowedValues": []int{clusterUnits}, "scaleType": "Automatic",
		},
	}}}), nil
}

func (c *call) listRegions() (answer, error) {
	return answerOK(page{Value: []any{map[string]any{"location": defaultLocation}}}), nil
}
