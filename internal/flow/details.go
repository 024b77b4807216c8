package flow

import (
	"bytes"
	"cmp"
	"encoding/json"
	"fmt"
	"slices"
)

// DetailsType is the one type of authorization details that this client knows.
const DetailsType = "fdx_v1.0"

// Details is authorization_details (RFC 9396 §2): what a client asks a person for, or what the person granted of it.
type Details []Detail

// Detail is an element of the type fdx_v1.0.
type Detail struct {
	Type           string         `json:"type"`
	ConsentRequest ConsentRequest `json:"consentRequest"`
}

// ConsentRequest asks for a consent (FDX Consent API).
type ConsentRequest struct {
	DurationType   string            `json:"durationType"`             // ONE_TIME, TIME_BOUND or PERSISTENT
	DurationPeriod int               `json:"durationPeriod,omitempty"` // days, with TIME_BOUND
	LookbackPeriod int               `json:"lookbackPeriod,omitempty"` // days back from each request for data
	Resources      []ConsentResource `json:"resources"`
}

// ConsentResource is some data clusters of what a consent is about.
type ConsentResource struct {
	ResourceType string   `json:"resourceType"`         // ACCOUNT, CUSTOMER or DOCUMENT
	ResourceID   string   `json:"resourceId,omitempty"` // what the person chose; empty in a request
	DataClusters []string `json:"dataClusters"`
}

// ReadDetails reads authorization_details. A member that it does not know is an error.
func ReadDetails(text string) (Details, error) {
	var details Details
	decoder := json.NewDecoder(bytes.NewReader([]byte(text)))
	decoder.DisallowUnknownFields()
	if err := decoder.Decode(&details); err != nil {
		return nil, fmt.Errorf("authorization_details are not those of FDX: %w", err)
	}
	return details, nil
}

// String is the JSON, with resources and data clusters in an order of their own: the client's means nothing.
func (d Details) String() string {
	sorted := slices.Clone(d)
	for i := range sorted {
		resources := slices.Clone(sorted[i].ConsentRequest.Resources)
		for i := range resources {
			resources[i].DataClusters = slices.Sorted(slices.Values(resources[i].DataClusters))
		}
		slices.SortFunc(resources, func(a, b ConsentResource) int {
			return cmp.Or(cmp.Compare(a.ResourceType, b.ResourceType), cmp.Compare(a.ResourceID, b.ResourceID))
		})
		sorted[i].ConsentRequest.Resources = resources
	}
	return text(sorted)
}

// Clusters are the data clusters of an element, each once.
func (d Detail) Clusters() []string {
	var all []string
	for _, of := range d.ConsentRequest.Resources {
		for _, name := range of.DataClusters {
			if !slices.Contains(all, name) {
				all = append(all, name)
			}
		}
	}
	return all
}

// Of are the ids of what an element is about; none in a request.
func (d Detail) Of() []string {
	var ids []string
	for _, of := range d.ConsentRequest.Resources {
		if of.ResourceID != "" && !slices.Contains(ids, of.ResourceID) {
			ids = append(ids, of.ResourceID)
		}
	}
	return ids
}

// granted are the details as a person grants them: an entry for each of the chosen accounts, and entries about the customer
// with the customer's id.
func (d Details) granted(customer string, accounts []string) Details {
	granted := slices.Clone(d)
	for i := range granted {
		consent := &granted[i].ConsentRequest
		asked := consent.Resources
		consent.Resources = nil
		for _, of := range asked {
			ids := accounts
			if of.ResourceType == "CUSTOMER" {
				ids = []string{customer}
			}
			for _, id := range ids {
				of.ResourceID = id
				consent.Resources = append(consent.Resources, of)
			}
		}
	}
	return granted
}

// Details are those that the request of an exchange asks for, or that its answer grants; none where there are none to read.
func (e *Exchange) Details() (asked, granted Details) {
	asked, _ = ReadDetails(e.Form().Get("authorization_details"))
	for _, jwt := range e.JWTs {
		if jwt.Name == "request" {
			asked, _ = ReadDetails(jwt.Claim("authorization_details"))
		}
	}
	granted, _ = ReadDetails(text(e.JSON()["authorization_details"]))
	return asked, granted
}

// details records whether a value is these authorization_details.
func (s *Step) details(name string, want Details, got any) {
	shown := text(got)
	if read, err := ReadDetails(shown); err == nil {
		shown = read.String()
	}
	s.check(name, shown == want.String(), want.String(), shown)
}
