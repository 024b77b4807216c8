package fdx

import (
	"encoding/json"
	"slices"

	"authserver/internal/oauth"
)

// Type is the type of details that ask for a consent of FDX.
const Type = "fdx_v1.0"

// How long a consent lasts (FDX, ConsentDurationType).
const (
	OneTime    = "ONE_TIME"   // for one access token
	Persistent = "PERSISTENT" // until the person ends it, or a year is over
	TimeBound  = "TIME_BOUND" // for durationPeriod
)

// What a consent is about (FDX, ConsentResourceType).
const (
	Account  = "ACCOUNT"
	Customer = "CUSTOMER"
	Document = "DOCUMENT"
)

// The bounds of a consent. A year is the law of the United States; a century is more than any account remembers.
const (
	MaxDurationPeriod = 365   // days
	MaxLookbackPeriod = 36500 // days
	MaxIdentifier     = 256   // characters of a resourceId (FDX, Identifier)
)

// ConsentRequest is a detail of the type fdx_v1.0: it asks a person for data, or is what the person granted of it. Its JSON
// is the whole element, with its type.
type ConsentRequest struct {
	DurationType   string     `json:"durationType"`             // OneTime, Persistent or TimeBound
	DurationPeriod int        `json:"durationPeriod,omitempty"` // days from the grant; 0 but for TimeBound
	LookbackPeriod int        `json:"lookbackPeriod,omitempty"` // days back from each request for data; 0: all there is
	Resources      []Resource `json:"resources"`                // never empty
}

// Resource is some data clusters of what a consent is about.
type Resource struct {
	ResourceType string   `json:"resourceType"`         // Account, Customer or Document
	ResourceID   string   `json:"resourceId,omitempty"` // what the person chose; "" until then
	DataClusters []string `json:"dataClusters"`         // never empty, each once
}

// MarshalJSON writes the element of authorization_details.
func (r ConsentRequest) MarshalJSON() ([]byte, error) {
	type members ConsentRequest // without this method
	return json.Marshal(struct {
		Type           string  `json:"type"`
		ConsentRequest members `json:"consentRequest"`
	}{Type, members(r)})
}

func readConsentRequest(element object) (Detail, error) {
	if err := element.only("type", "consentRequest"); err != nil {
		return nil, err
	}
	o, err := element.member("consentRequest").object()
	if err != nil {
		return nil, err
	}
	if err := o.only("durationType", "durationPeriod", "lookbackPeriod", "resources"); err != nil {
		return nil, err
	}
	var r ConsentRequest
	if r.DurationType, err = o.member("durationType").word(OneTime, Persistent, TimeBound); err != nil {
		return nil, err
	}
	if r.DurationPeriod, err = readDurationPeriod(o.member("durationPeriod"), r.DurationType); err != nil {
		return nil, err
	}
	if lookback := o.member("lookbackPeriod"); lookback.raw != nil {
		if r.LookbackPeriod, err = lookback.days(MaxLookbackPeriod); err != nil {
			return nil, err
		}
	}
	resources, err := o.member("resources").elements()
	if err != nil {
		return nil, err
	}
	r.Resources = make([]Resource, len(resources))
	for i, v := range resources {
		if r.Resources[i], err = readResource(v); err != nil {
			return nil, err
		}
	}
	return r, nil
}

// readDurationPeriod reads the period of a TIME_BOUND consent. FDX does not say what one means beside another type: it is
// refused, since the person would read one end and the client mean another.
func readDurationPeriod(v value, durationType string) (int, error) {
	switch {
	case durationType == TimeBound:
		return v.days(MaxDurationPeriod)
	case v.raw != nil:
		return 0, oauth.Refuse(oauth.DetailsMember, "%s belongs to durationType %s alone; received it beside %s",
			v.at, TimeBound, durationType)
	}
	return 0, nil
}

func readResource(v value) (Resource, error) {
	o, err := v.object()
	if err != nil {
		return Resource{}, err
	}
	if err := o.only("resourceType", "resourceId", "dataClusters"); err != nil {
		return Resource{}, err
	}
	var r Resource
	if r.ResourceType, err = o.member("resourceType").word(Account, Customer, Document); err != nil {
		return Resource{}, err
	}
	if id := o.member("resourceId"); id.raw != nil {
		if r.ResourceID, err = id.identifier(); err != nil {
			return Resource{}, err
		}
	}
	names, err := o.member("dataClusters").elements()
	if err != nil {
		return Resource{}, err
	}
	for _, v := range names {
		name, err := readCluster(v, r)
		if err != nil {
			return Resource{}, err
		}
		r.DataClusters = append(r.DataClusters, name)
	}
	return r, nil
}

// readCluster reads the next data cluster of a resource. Data of accounts is never granted for the customer as a whole:
// that would go past the person's choice of accounts.
func readCluster(v value, of Resource) (string, error) {
	name := v.text()
	c := clusterOf(name)
	switch {
	case c == nil:
		return "", v.refuse("the name of an FDX data cluster")
	case slices.Contains(of.DataClusters, name):
		return "", oauth.Refuse(oauth.DetailsMember, "%s must differ from those before; received %s twice", v.at, name)
	case of.ResourceType == Customer && c.of == ofAccounts:
		return "", v.refuse("a data cluster about the customer, or stand below resourceType %s or %s", Account, Document)
	}
	return name, nil
}

// ConsentRequests are the details of the type fdx_v1.0.
func (d Details) ConsentRequests() []ConsentRequest {
	var requests []ConsentRequest
	for _, detail := range d {
		if r, ok := detail.(ConsentRequest); ok {
			requests = append(requests, r)
		}
	}
	return requests
}

// Resources are what the consents of the details are about, one entry for each type and id (FDX, ConsentGrantResource).
func (d Details) Resources() []Resource {
	var all []Resource
	for _, r := range d.ConsentRequests() {
		for _, of := range r.Resources {
			all = add(all, of.ResourceType, of.ResourceID, of.DataClusters...)
		}
	}
	return all
}

// AboutAccounts tells whether the person has to choose accounts before the details can be granted.
func (d Details) AboutAccounts() bool {
	return slices.ContainsFunc(d.ConsentRequests(), func(r ConsentRequest) bool {
		return slices.ContainsFunc(r.Resources, func(of Resource) bool { return of.ResourceType != Customer })
	})
}

// add puts data clusters to the resource of that type and id, or adds the resource: one entry for each.
func add(resources []Resource, kind, id string, clusters ...string) []Resource {
	i := slices.IndexFunc(resources, func(r Resource) bool { return r.ResourceType == kind && r.ResourceID == id })
	if i < 0 {
		i = len(resources)
		resources = append(resources, Resource{ResourceType: kind, ResourceID: id})
	}
	for _, c := range clusters {
		if !slices.Contains(resources[i].DataClusters, c) {
			resources[i].DataClusters = append(resources[i].DataClusters, c)
		}
	}
	return resources
}
