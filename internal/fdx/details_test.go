package fdx_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"authserver/internal/fdx"
	"authserver/internal/oauth"
)

// seed is the example of FDX's own recipients, to the letter.
const seed = `[{"type":"fdx_v1.0","consentRequest":{"durationType":"ONE_TIME","lookbackPeriod":60,"resources":[{"resourceType":"ACCOUNT","dataClusters":["ACCOUNT_DETAILED","TRANSACTIONS","STATEMENTS"]}]}}]`

// consent is authorization_details with one consent of these members.
func consent(members string) string {
	return `[{"type":"fdx_v1.0","consentRequest":{` + members + `}}]`
}

// of is a consent of data of accounts, with these members as well.
func of(members string) string { return consent(members + `,` + transactions) }

const transactions = `"resources":[{"resourceType":"ACCOUNT","dataClusters":["TRANSACTIONS"]}]`

// resources is a ONE_TIME consent of these resources.
func resources(list string) string { return consent(`"durationType":"ONE_TIME","resources":` + list) }

func clusters(names ...string) string {
	text, _ := json.Marshal(names)
	return resources(`[{"resourceType":"ACCOUNT","dataClusters":` + string(text) + `}]`)
}

func parse(t rapid.TB, text string) fdx.Details {
	t.Helper()
	d, err := fdx.ParseDetails(text, nil)
	if err != nil {
		t.Fatalf("%s: %v", text, err)
	}
	return d
}

func marshal(t rapid.TB, d fdx.Details) string {
	t.Helper()
	text, err := json.Marshal(d)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// refused expects a refusal for the reason, whose description begins with the path and a space.
func refused(t testing.TB, err error, reason oauth.Reason, path string) {
	t.Helper()
	e, ok := errors.AsType[*oauth.Error](err)
	switch {
	case !ok || e.Reason != reason || !strings.HasPrefix(e.Description, path+" "):
		t.Errorf("got %v, want %s about %s", err, reason, path)
	case e.Code() != oauth.InvalidAuthorizationDetails && e.Code() != oauth.InvalidScope || e.Status() != 400:
		t.Errorf("%s is %d %s", reason, e.Status(), e.Code())
	}
}

func TestParseDetails(t *testing.T) {
	for name, test := range map[string]struct {
		text string
		want []fdx.ConsentRequest
	}{
		"FDX-01 the seed": {seed, []fdx.ConsentRequest{{DurationType: "ONE_TIME", LookbackPeriod: 60, Resources: []fdx.Resource{
			{ResourceType: "ACCOUNT", DataClusters: []string{"ACCOUNT_DETAILED", "TRANSACTIONS", "STATEMENTS"}},
		}}}},
		"the longest": {of(`"durationType":"TIME_BOUND","durationPeriod":365,"lookbackPeriod":36500`), []fdx.ConsentRequest{
			{DurationType: "TIME_BOUND", DurationPeriod: 365, LookbackPeriod: 36500, Resources: []fdx.Resource{
				{ResourceType: "ACCOUNT", DataClusters: []string{"TRANSACTIONS"}},
			}},
		}},
		"the shortest, in another order and with white space": {" [ { \"consentRequest\" : {" + transactions + `, "lookbackPeriod":1 ,"durationPeriod":1,` +
			`"durationType":"\u0054IME_BOUND"},"type":"fdx_v1.0"}]` + "\n", []fdx.ConsentRequest{
			{DurationType: "TIME_BOUND", DurationPeriod: 1, LookbackPeriod: 1, Resources: []fdx.Resource{
				{ResourceType: "ACCOUNT", DataClusters: []string{"TRANSACTIONS"}},
			}},
		}},
		"every type of resource, one of them twice": {consent(`"durationType":"PERSISTENT","resources":[
			{"resourceType":"ACCOUNT","dataClusters":["CUSTOMER_CONTACT","TAX"]},{"resourceType":"CUSTOMER","dataClusters":["CUSTOMER_PERSONAL","TAX"]},
			{"resourceType":"DOCUMENT","dataClusters":["STATEMENTS"]},{"resourceType":"ACCOUNT","resourceId":"7 é","dataClusters":["TAX"]}]`), []fdx.ConsentRequest{
			{DurationType: "PERSISTENT", Resources: []fdx.Resource{
				{ResourceType: "ACCOUNT", DataClusters: []string{"CUSTOMER_CONTACT", "TAX"}},
				{ResourceType: "CUSTOMER", DataClusters: []string{"CUSTOMER_PERSONAL", "TAX"}},
				{ResourceType: "DOCUMENT", DataClusters: []string{"STATEMENTS"}},
				{ResourceType: "ACCOUNT", ResourceID: "7 é", DataClusters: []string{"TAX"}},
			}},
		}},
		"PR-40 two of the same type": {strings.TrimSuffix(clusters("TAX"), "]") + "," + strings.TrimPrefix(clusters("BILLS"), "["), []fdx.ConsentRequest{
			{DurationType: "ONE_TIME", Resources: []fdx.Resource{{ResourceType: "ACCOUNT", DataClusters: []string{"TAX"}}}},
			{DurationType: "ONE_TIME", Resources: []fdx.Resource{{ResourceType: "ACCOUNT", DataClusters: []string{"BILLS"}}}},
		}},
	} {
		t.Run(name, func(t *testing.T) {
			d := parse(t, test.text)
			if diff := cmp.Diff(test.want, d.ConsentRequests()); diff != "" || len(d) != len(test.want) {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
	if got := marshal(t, parse(t, seed)); got != seed {
		t.Errorf("the seed is written as %s", got)
	}
	if diff := cmp.Diff([]string{"fdx_v1.0"}, fdx.Types()); diff != "" {
		t.Error(diff)
	}
}

func TestParseDetailsRefuses(t *testing.T) {
	const first, request = "authorization_details[0]", "authorization_details[0].consentRequest"
	const resource = request + ".resources[0]"
	second := seed[:len(seed)-1] + "," + resources(`[{"resourceType":"ACCOUNT","dataClusters":["TAX"]},{"resourceType":"ACCOUNT","dataClusters":["ROOT"]}]`)[1:]
	for name, test := range map[string]struct {
		text   string
		reason oauth.Reason
		path   string
	}{
		"PR-19 nothing":            {``, oauth.DetailsMalformed, "authorization_details"},
		"PR-19 no JSON":            {`{`, oauth.DetailsMalformed, "authorization_details"},
		"PR-19 an object":          {seed[1 : len(seed)-1], oauth.DetailsMalformed, "authorization_details"},
		"PR-19 an array of none":   {`[]`, oauth.DetailsMalformed, "authorization_details"},
		"PR-19 null":               {`null`, oauth.DetailsMalformed, "authorization_details"},
		"PR-19 a string":           {`"[]"`, oauth.DetailsMalformed, "authorization_details"},
		"PR-19 two arrays":         {seed + seed, oauth.DetailsMalformed, "authorization_details"},
		"PR-19 null in an array":   {`[null]`, oauth.DetailsMalformed, first},
		"PR-19 an array in one":    {`[[` + seed + `]]`, oauth.DetailsMalformed, first},
		"PR-19 a number, second":   {seed[:len(seed)-1] + `,1]`, oauth.DetailsMalformed, "authorization_details[1]"},
		"PR-19 byte order mark":    {"\ufeff" + seed, oauth.DetailsMalformed, "authorization_details"},
		"a member twice":           {`[{"type":"fdx_v1.0","type":"fdx_v1.0"}]`, oauth.DetailsMalformed, "authorization_details"},
		"a member twice, inside":   {of(`"durationType":"ONE_TIME","duration\u0054ype":"PERSISTENT"`), oauth.DetailsMalformed, "authorization_details"},
		"PR-22 16 KiB and a byte":  {seed + strings.Repeat(" ", 16<<10+1-len(seed)), oauth.DetailsMalformed, "authorization_details"},
		"PR-22 1 MiB":              {"[" + strings.Repeat(" ", 1<<20) + "]", oauth.DetailsMalformed, "authorization_details"},
		"PR-22 10000 elements":     {"[" + strings.Repeat("1,", 10_000) + "1]", oauth.DetailsMalformed, "authorization_details"},
		"PR-22 11 good elements":   {"[" + strings.Repeat(seed[1:len(seed)-1]+",", 10) + seed[1:], oauth.DetailsMalformed, "authorization_details"},
		"PR-22 5000 levels":        {strings.Repeat("[", 5000) + strings.Repeat("]", 5000), oauth.DetailsMalformed, "authorization_details"},
		"PR-22 5000 levels inside": {of(`"durationType":` + strings.Repeat("[", 5000) + strings.Repeat("]", 5000)), oauth.DetailsMalformed, "authorization_details"},

		"PR-20 no type":             {`[{}]`, oauth.DetailsType, first + ".type"},
		"PR-20 an unknown type":     {`[{"type":"fdx_v9.9"}]`, oauth.DetailsType, first + ".type"},
		"PR-20 another case":        {strings.Replace(seed, "fdx", "FDX", 1), oauth.DetailsType, first + ".type"},
		"PR-20 an empty type":       {`[{"type":""}]`, oauth.DetailsType, first + ".type"},
		"PR-20 a number":            {`[{"type":1}]`, oauth.DetailsType, first + ".type"},
		"PR-20 null":                {`[{"type":null}]`, oauth.DetailsType, first + ".type"},
		"PR-20 an array":            {`[{"type":["fdx_v1.0"]}]`, oauth.DetailsType, first + ".type"},
		"PR-20 unknown, the second": {seed[:len(seed)-1] + `,{"type":"x"}]`, oauth.DetailsType, "authorization_details[1].type"},

		"no consentRequest":         {`[{"type":"fdx_v1.0"}]`, oauth.DetailsMember, request},
		"consentRequest of null":    {`[{"type":"fdx_v1.0","consentRequest":null}]`, oauth.DetailsMember, request},
		"consentRequest as a list":  {`[{"type":"fdx_v1.0","consentRequest":[]}]`, oauth.DetailsMember, request},
		"an unknown member":         {`[{"type":"fdx_v1.0","actions":[],"consentRequest":{}}]`, oauth.DetailsMember, first + ".actions"},
		"one in another case":       {strings.Replace(seed, "consentRequest", "ConsentRequest", 1), oauth.DetailsMember, first + ".ConsentRequest"},
		"unknown in the request":    {of(`"durationType":"ONE_TIME","purpose":"x"`), oauth.DetailsMember, request + ".purpose"},
		"unknown in a resource":     {resources(`[{"resourceType":"ACCOUNT","dataClusters":["TAX"],"x":1}]`), oauth.DetailsMember, resource + ".x"},
		"unknown with a long name":  {of(`"durationType":"ONE_TIME","` + strings.Repeat("x", 900) + `":1`), oauth.DetailsMember, request + "." + strings.Repeat("x", 40) + "..."},
		"unknown with a foul name":  {of(`"durationType":"ONE_TIME","\u0000\n\"é":1`), oauth.DetailsMember, request + ".??'?"},
		"no durationType":           {consent(transactions), oauth.DetailsMember, request + ".durationType"},
		"PR-21 FOREVER":             {of(`"durationType":"FOREVER"`), oauth.DetailsMember, request + ".durationType"},
		"durationType of null":      {of(`"durationType":null`), oauth.DetailsMember, request + ".durationType"},
		"durationType as a list":    {of(`"durationType":["ONE_TIME"]`), oauth.DetailsMember, request + ".durationType"},
		"durationType in lower":     {of(`"durationType":"one_time"`), oauth.DetailsMember, request + ".durationType"},
		"no durationPeriod":         {of(`"durationType":"TIME_BOUND"`), oauth.DetailsMember, request + ".durationPeriod"},
		"a period of ONE_TIME":      {of(`"durationType":"ONE_TIME","durationPeriod":30`), oauth.DetailsMember, request + ".durationPeriod"},
		"null beside ONE_TIME":      {of(`"durationType":"ONE_TIME","durationPeriod":null`), oauth.DetailsMember, request + ".durationPeriod"},
		"PR-43 one of PERSISTENT":   {of(`"durationType":"PERSISTENT","durationPeriod":100000`), oauth.DetailsMember, request + ".durationPeriod"},
		"no resources":              {consent(`"durationType":"ONE_TIME"`), oauth.DetailsMember, request + ".resources"},
		"PR-21 resources of none":   {resources(`[]`), oauth.DetailsMember, request + ".resources"},
		"resources as an object":    {resources(`{}`), oauth.DetailsMember, request + ".resources"},
		"a resource of null":        {resources(`[null]`), oauth.DetailsMember, resource},
		"a resource as a string":    {resources(`["ACCOUNT"]`), oauth.DetailsMember, resource},
		"no resourceType":           {resources(`[{"dataClusters":["TAX"]}]`), oauth.DetailsMember, resource + ".resourceType"},
		"an unknown resourceType":   {resources(`[{"resourceType":"PERSON","dataClusters":["TAX"]}]`), oauth.DetailsMember, resource + ".resourceType"},
		"resourceId empty":          {resources(`[{"resourceType":"ACCOUNT","resourceId":"","dataClusters":["TAX"]}]`), oauth.DetailsMember, resource + ".resourceId"},
		"resourceId of null":        {resources(`[{"resourceType":"ACCOUNT","resourceId":null,"dataClusters":["TAX"]}]`), oauth.DetailsMember, resource + ".resourceId"},
		"resourceId as a list":      {resources(`[{"resourceType":"ACCOUNT","resourceId":["a"],"dataClusters":["TAX"]}]`), oauth.DetailsMember, resource + ".resourceId"},
		"resourceId of 257":         {resources(`[{"resourceType":"ACCOUNT","resourceId":"` + strings.Repeat("é", 257) + `","dataClusters":["TAX"]}]`), oauth.DetailsMember, resource + ".resourceId"},
		"no dataClusters":           {resources(`[{"resourceType":"ACCOUNT"}]`), oauth.DetailsMember, resource + ".dataClusters"},
		"dataClusters of none":      {resources(`[{"resourceType":"ACCOUNT","dataClusters":[]}]`), oauth.DetailsMember, resource + ".dataClusters"},
		"dataClusters as a string":  {resources(`[{"resourceType":"ACCOUNT","dataClusters":"TAX"}]`), oauth.DetailsMember, resource + ".dataClusters"},
		"PR-21 ROOT":                {clusters("ROOT"), oauth.DetailsMember, resource + ".dataClusters[0]"},
		"a scope":                   {clusters("TAX", "fdx:bills:read"), oauth.DetailsMember, resource + ".dataClusters[1]"},
		"a cluster in lower case":   {clusters("tax"), oauth.DetailsMember, resource + ".dataClusters[0]"},
		"an empty cluster":          {clusters(""), oauth.DetailsMember, resource + ".dataClusters[0]"},
		"a cluster of null":         {resources(`[{"resourceType":"ACCOUNT","dataClusters":[null]}]`), oauth.DetailsMember, resource + ".dataClusters[0]"},
		"a cluster twice":           {clusters("TAX", "BILLS", "TAX"), oauth.DetailsMember, resource + ".dataClusters[2]"},
		"accounts of the customer":  {resources(`[{"resourceType":"CUSTOMER","dataClusters":["TAX","TRANSACTIONS"]}]`), oauth.DetailsMember, resource + ".dataClusters[1]"},
		"deep in the second":        {second, oauth.DetailsMember, "authorization_details[1].consentRequest.resources[1].dataClusters[0]"},
		"members beside each other": {`[{"type":"fdx_v1.0","durationType":"ONE_TIME",` + transactions + `}]`, oauth.DetailsMember, first + ".durationType"},
	} {
		t.Run(name, func(t *testing.T) {
			d, err := fdx.ParseDetails(test.text, nil)
			if refused(t, err, test.reason, test.path); d != nil {
				t.Errorf("and yet there are %v", d)
			}
		})
	}
	// PR-21, PR-43: numbers of days.
	for member, most := range map[string]int{"durationPeriod": 365, "lookbackPeriod": 36500} {
		for _, days := range []string{`0`, `-0`, `-1`, `1.5`, `60.0`, `6e1`, `"60"`, `1000000000`, `100000`, `1e9`, `9223372036854775808`,
			`99999999999999999999999`, `null`, `true`, `[60]`, `{}`, `""`, fmt.Sprint(most + 1)} {
			period := `"durationPeriod":30,`
			if member == "durationPeriod" {
				period = ""
			}
			_, err := fdx.ParseDetails(of(`"durationType":"TIME_BOUND",`+period+`"`+member+`":`+days), nil)
			refused(t, err, oauth.DetailsMember, request+"."+member)
		}
	}
}

// TestParseDetailsSaysWhy pins the sentences that lead a developer to the fault.
func TestParseDetailsSaysWhy(t *testing.T) {
	for text, want := range map[string]string{
		`[]`:    "authorization_details must have 1 to 10 elements; received 0",
		`{}`:    "authorization_details must be one JSON array: The JSON text is not an array.",
		`["x"]`: `authorization_details[0] must be an object; received 'x'`,
		`[{}]`:  "authorization_details[0].type is missing; expected one of fdx_v1.0",
		`[{"type":"` + strings.Repeat("fdx", 20) + `"}]`: "authorization_details[0].type must be one of fdx_v1.0; received 'fdxfdxfdxfdxfdxfdxfdxfdxfdxfdxfdxfdxfdx...",
		of(`"durationType":"FOREVER"`):                   "authorization_details[0].consentRequest.durationType must be one of ONE_TIME, PERSISTENT, TIME_BOUND; received 'FOREVER'",
		of(`"durationType":"ONE_TIME","lookbackPeriod":"60"`): "authorization_details[0].consentRequest.lookbackPeriod must be a whole number of days from 1 to 36500; " +
			"received '60'",
		of(`"durationType":"ONE_TIME","durationPeriod":30`): "authorization_details[0].consentRequest.durationPeriod belongs to durationType TIME_BOUND alone; " +
			"received it beside ONE_TIME",
		of(`"durationType":"ONE_TIME","purpose":1`): "authorization_details[0].consentRequest.purpose is not known; " +
			"members of authorization_details[0].consentRequest are durationType, durationPeriod, lookbackPeriod, resources",
		clusters("ROOT"): "authorization_details[0].consentRequest.resources[0].dataClusters[0] must be the name of an FDX data cluster; received 'ROOT'",
		resources(`[{"resourceType":"CUSTOMER","dataClusters":["BILLS"]}]`): "authorization_details[0].consentRequest.resources[0].dataClusters[0] " +
			"must be a data cluster about the customer, or stand below resourceType ACCOUNT or DOCUMENT; received 'BILLS'",
	} {
		_, err := fdx.ParseDetails(text, nil)
		if e, ok := errors.AsType[*oauth.Error](err); !ok || e.Description != want {
			t.Errorf("%s:\n got %v\nwant %s", text, err, want)
		}
	}
}

// RAR-02: a client has the types that it registered for, or all when it registered for none.
func TestRegisteredTypes(t *testing.T) {
	for _, registered := range [][]string{nil, {}, {"fdx_v1.0"}, {"payment", "fdx_v1.0"}} {
		if _, err := fdx.ParseDetails(seed, registered); err != nil {
			t.Errorf("%v: %v", registered, err)
		}
	}
	_, err := fdx.ParseDetails(seed, []string{"payment"})
	refused(t, err, oauth.DetailsType, "authorization_details[0].type")
	_, err = fdx.ParseDetails(`[{"type":"payment"}]`, []string{"payment"})
	refused(t, err, oauth.DetailsType, "authorization_details[0].type")
}

// What a person granted may be longer than what a client may send, and is kept as JSON among other things.
func TestKeptDetails(t *testing.T) {
	var accounts []string
	for i := range 1000 {
		accounts = append(accounts, fmt.Sprint(i))
	}
	type record struct {
		Details fdx.Details `json:"authorization_details,omitempty"`
	}
	want := record{parse(t, seed).Granted("_1", accounts)}
	text, err := json.Marshal(want)
	if err != nil || len(text) < 16<<10 {
		t.Fatalf("%d bytes, %v", len(text), err)
	}
	var got record
	if err := json.Unmarshal(text, &got); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	for text, want := range map[string]bool{`{}`: true, `{"authorization_details":null}`: true, `{"authorization_details":[]}`: false,
		`{"authorization_details":{}}`: false, `{"authorization_details":[{"type":"x"}]}`: false} {
		var got record
		if err := json.Unmarshal([]byte(text), &got); (err == nil) != want || got.Details != nil {
			t.Errorf("%s: %v, %v", text, got, err)
		}
	}
}

// Architecture, decision 5: at most 4 KiB of details go into an access token.
func TestFitToken(t *testing.T) {
	sized := func(bytes int) fdx.Details {
		d := parse(t, clusters("TAX")).Granted("_1", []string{"x"})
		return parse(t, clusters("TAX")).Granted("_1", []string{strings.Repeat("x", 1+bytes-len(marshal(t, d)))})
	}
	for bytes, want := range map[int]bool{200: true, fdx.MaxInToken: true, fdx.MaxInToken + 1: false} {
		if d := sized(bytes); d.FitToken() != want || len(marshal(t, d)) != bytes {
			t.Errorf("%d bytes, wanted as %d: fit %v", len(marshal(t, d)), bytes, d.FitToken())
		}
	}
}

// payment is a further type of details, as somebody might add one.
type payment struct {
	Type string `json:"type"`
}

func (p payment) Narrow(granted fdx.Details, at string) (fdx.Detail, error) {
	if !slices.Contains(granted, fdx.Detail(p)) {
		return nil, oauth.Refuse(oauth.DetailsBeyondGrant, "%s goes beyond the grant", at)
	}
	return p, nil
}

// Details of another type go their way beside a consent, which is nothing to them.
func TestFurtherType(t *testing.T) {
	other := payment{"payment"}
	alone := fdx.Details{other}
	settled, scopes, err := alone.Settle(scope("openid fdx:tax:read"), fdx.Ceilings{})
	want := fdx.Details{other, parse(t, clusters("TAX"))[0]}
	if diff := cmp.Diff(want, settled); diff != "" || err != nil || scopes.String() != "openid fdx:tax:read" {
		t.Fatalf("%s, %v, %s", scopes, err, diff)
	}
	both := append(parse(t, seed), other)
	if settled, _, err = both.Settle(scope(allScopes), fdx.Ceilings{}); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(both, settled); diff != "" {
		t.Error(diff)
	}
	if got := marshal(t, settled.Granted("_1", nil)); got != `[{"type":"payment"}]` {
		t.Errorf("granted without accounts: %s", got)
	}
	if got, _ := settled.Intersect(nil); marshal(t, got) != `[{"type":"payment"}]` {
		t.Errorf("with no scope: %s", marshal(t, got))
	}
	if got, err := alone.Narrow(alone); err != nil || marshal(t, got) != `[{"type":"payment"}]` {
		t.Errorf("narrowed: %s, %v", marshal(t, got), err)
	}
	_, err = alone.Narrow(fdx.Details{other, payment{"another"}})
	refused(t, err, oauth.DetailsBeyondGrant, "authorization_details[1]")
}
