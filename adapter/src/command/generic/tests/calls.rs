//! Calls that do not depend on the order of keys, one after the other.

use super::Pair;

#[test]
fn keys_are_removed_renamed_and_copied_as_in_redis() {
    Pair::start().same_lines(
        "
        set k v
        move k 1
        move k 0
        move k abc
        move nokey 0
        move nokey 1
        move k -1
        copy k k
        copy k k2 db 0
        copy k k db 0
        copy nokey nokey
        copy k k3 db 1
        copy k k3 db abc
        copy k k2
        copy k k2 replace
        copy k k2 replace db 0 replace
        copy k k2 foo
        copy k k2 db
        copy nokey x
        rename nokey x
        rename k k
        renamenx k k
        rename nokey nokey
        renamenx k k2
        set k v
        flushdb foo
        flushdb sync async
        flushall foo
        flushall sync
        flushdb async
        set k v
        set i 12
        set s xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx
        type nokey
        type i
        flushall
        randomkey
        set k v
        move k 4294967296
        move k 9223372036854775808
        copy k b db 4294967296
        copy k b db 9223372036854775808 foo
        copy k b foo db abc
        sort k limit 9223372036854775808 1
        set a 1
        set b 2
        exists a a b nokey
        touch a
        del
        del a a b nokey
        unlink nokey
        exists a
        keys *
        set key:1 x
        keys key:?
        keys key:[^1]
        keys
        move
        copy key:1
        rename key:1
        FLUSHALL ASYNC
        keys *
        ",
    );
}

#[test]
fn deadlines_are_set_and_told_as_in_redis() {
    Pair::start().same_lines(
        "
        set k v
        expire k 100 foo
        expire k 100 nx xx
        expire k 100 gt lt
        expire k 100 nx gt
        expire k 100 xx gt
        expire k abc
        expire nokey abc
        expire k 9223372036854775807
        expire k -9223372036854775808
        set k v
        expire k 9223372036854775
        pexpire k 9223372036854775807
        pexpireat k 9223372036854775807
        pexpireat k -9223372036854775808
        set k v
        expireat k 9223372036854775807
        expire k 100 nx
        expire k 100 lt
        expire k 50 lt
        expire k 200 gt
        persist k
        expire k 100 gt
        expire k 100 lt
        expire k -1 gt
        set k v
        expire k 0 xx
        ttl k
        ttl nokey
        expiretime k
        pexpiretime nokey
        expire nokey 10 foo
        expire k 10 foo nx
        set k v
        set i 12
        set s xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx
        set k v
        pexpire k -9223372036854775808
        expire k 100 GT
        set p v
        pexpire p 100000 NX
        ttl p
        expireat p 1
        exists p
        pexpireat k 1 xx
        exists k k
        set q v
        pexpireat q 33177117420123
        pexpiretime q
        expiretime q
        expire q 10 lt
        ttl q
        rename q r
        ttl r
        copy r s
        ttl s
        set t v
        expireat t 33177117420
        copy t s
        copy t s replace
        expiretime s
        renamenx s u
        expiretime u
        persist u
        expiretime u
        restore k 5 xx absttl
        del k k u nokey
        unlink t t
        touch r r nokey
        ",
    );
}

#[test]
fn object_and_restore_check_their_arguments_as_redis_does() {
    Pair::start().same_lines(
        "
        set k v
        object freq k
        object idletime k
        set k v
        object freq k
        object idletime k
        object refcount k
        object freq nokey
        object idletime nokey
        object refcount nokey
        object encoding nokey
        object help
        object help foo
        object
        object foo
        object freq
        set i 12
        set s xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx
        object encoding s
        object encoding i
        object encoding k
        restore a -1 x
        restore a abc x
        restore i 0 x
        restore a 0 x
        restore a 0 x idletime -1
        restore a 0 x idletime abc
        restore a 0 x idletime 1 freq 1
        restore a 0 x freq 1 idletime 1
        restore a 0 x freq 256
        restore a 0 x freq -1
        restore a 0 x foo
        restore a 0 x freq
        restore a 0 x freq abc
        restore i 0 x replace
        restore i abc x
        restore i abc x foo
        restore i -1 x
        restore nok -1 x
        dump nokey
        set k v
        restore a 9223372036854775807 x
        restore a 0 x freq 9999999999999999999
        restore a 0 x idletime 9999999999999999999
        ",
    );
}

#[test]
fn scan_checks_its_arguments_as_redis_does() {
    Pair::start().same_lines(
        "
        set k v
        scan 0 match
        scan 0 count 0
        scan 0 count abc
        scan abc
        scan 0 type
        scan 0 type foo
        scan 0 match a count 1 type string foo bar
        scan 0 foo bar
        scan 18446744073709551616
        scan ~1
        scan 1~
        set k v
        set i 12
        set s xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx
        set k v
        scan 0 count 9223372036854775808
        scan 0 count -1
        ",
    );
}
