package dpop

// SameURL and Normalise are for the fuzz targets, which stand outside the package.
var (
	SameURL   = sameURL
	Normalise = normalise
)
