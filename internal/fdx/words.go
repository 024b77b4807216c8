package fdx

// Where a consent stands (FDX, ConsentGrantStatus).
const (
	Active  = "ACTIVE"
	Expired = "EXPIRED"
	Revoked = "REVOKED"
)

// Why a consent was changed (FDX, ConsentUpdateReason).
const (
	UserAction   = "USER_ACTION"
	BusinessRule = "BUSINESS_RULE"
)

// Who has a part in a consent (FDX, PartyType).
const (
	DataAccessPlatform = "DATA_ACCESS_PLATFORM"
	DataProvider       = "DATA_PROVIDER"
	DataRecipient      = "DATA_RECIPIENT"
	Individual         = "INDIVIDUAL"
	Merchant           = "MERCHANT"
	Vendor             = "VENDOR"
)

// Revocation is why a consent was ended, and on whose initiative (FDX, ConsentRevocationRequest).
type Revocation struct {
	Reason    string `json:"reason"`
	Initiator string `json:"initiator"`
}
