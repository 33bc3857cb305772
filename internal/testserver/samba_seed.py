# Fills a freshly provisioned Samba domain, offline: argv is its smb.conf, base DN, realm, the service account's password.
import sys, ldb
from samba.samdb import SamDB
from samba.param import LoadParm
from samba.auth import system_session
from samba.ndr import ndr_unpack, ndr_pack
from samba.dcerpc import security

conf, base, realm, password = sys.argv[1:5]
lp = LoadParm()
lp.load(conf)
db = SamDB(url=lp.private_path("sam.ldb"), session_info=system_session(), lp=lp)
db.transaction_start()
day, minute = 86400 * 10**7, 60 * 10**7
db.modify_ldif(f"dn: {base}\nchangetype: modify\n" + "-\n".join(f"replace: {name}\n{name}: {value}\n" for name, value in {
    "pwdHistoryLength": 5, "minPwdLength": 10, "minPwdAge": 0, "maxPwdAge": -42 * day,
    "lockoutThreshold": 3, "lockoutDuration": -30 * minute, "lockOutObservationWindow": -30 * minute}.items()))
for ou in ("People", "Services", "Groups"):
    db.add({"dn": f"OU={ou},{base}", "objectClass": "organizationalUnit"})
service = f"CN=regain,OU=Services,{base}"
for name in ("regain", "bare"):
    db.add({"dn": f"CN={name},OU=Services,{base}", "objectClass": "user", "sAMAccountName": name, "userPrincipalName": f"{name}@{realm}",
            "unicodePwd": f'"{password}"'.encode("utf-16-le"), "userAccountControl": "66048"})
sid = str(ndr_unpack(security.dom_sid, db.search(service, ldb.SCOPE_BASE, attrs=["objectSid"])[0]["objectSid"][0]))

def grant(dn, aces):
    found = db.search(dn, ldb.SCOPE_BASE, attrs=["nTSecurityDescriptor"], controls=["sd_flags:1:4"])[0]
    domain = security.dom_sid(db.get_domain_sid())
    text = ndr_unpack(security.descriptor, found["nTSecurityDescriptor"][0]).as_sddl(domain)
    first = text.index("(", text.index("D:"))
    new = security.descriptor.from_sddl(text[:first] + aces + text[first:], domain)
    m = ldb.Message(ldb.Dn(db, dn))
    m["sd"] = ldb.MessageElement(ndr_pack(new), ldb.FLAG_MOD_REPLACE, "nTSecurityDescriptor")
    db.modify(m, controls=["sd_flags:1:4"])

user = "bf967aba-0de6-11d0-a285-00aa003049e2"
grant(f"OU=People,{base}", "".join((
    f"(OA;CIIO;CR;00299570-246d-11d0-a768-00aa006e0529;{user};{sid})",      # Reset Password
    f"(OA;CIIO;RPWP;bf967a0a-0de6-11d0-a285-00aa003049e2;{user};{sid})",    # pwdLastSet
    f"(OA;CIIO;RPWP;28630ebf-41d5-11d1-a9c1-0000f80367c1;{user};{sid})",    # lockoutTime
    f"(OA;CIIO;RP;b77ea093-88d0-4780-9a98-911f8e8b1dca;{user};{sid})",      # msDS-ResultantPSO
    f"(OA;CIIO;RP;4c164200-20c0-11d0-a768-00aa006e0529;{user};{sid})")))    # Account Restrictions
grant(f"CN=Password Settings Container,CN=System,{base}", f"(A;CI;RPLCLO;;;{sid})")
db.transaction_commit()
