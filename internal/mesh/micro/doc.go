// Package micro serves requests as a NATS micro service: found by `nats micro ls`, described and counted by the control subjects
//
//	$SRV.PING | $SRV.INFO | $SRV.STATS            every service
//	$SRV.PING.<name> | …                          every instance of one
//	$SRV.PING.<name>.<id> | …                     one instance
//
// and answering errors in the headers Nats-Service-Error-Code and Nats-Service-Error. The messages are those of the package of
// that name in nats.go. Its dispatcher is not used: it runs the requests of an endpoint one after another, and counts errors and
// time of what is answered before the handler returns, while requests here wait for edges and clients, many at a time. Start at
// Service.
package micro
