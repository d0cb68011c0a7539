import com.google.gson.JsonArray
import com.google.gson.JsonObject
import com.google.gson.JsonParser.parseString
import java.security.KeyPairGenerator
import org.junit.Assert.assertEquals
import org.junit.Assert.assertNull
import org.junit.Test
import uniffi.aegis.SecaggClient
import uniffi.aegis.SecaggGrid
import uniffi.aegis.SigningKey
import uniffi.aegis.TensorForm
import uniffi.aegis.secaggTermsDigest

private const val NOW = 1000uL
private val MODEL = "ab".repeat(32)
private val NODES = listOf(1uL, 2uL, (1uL shl 63) + 1uL)
private const val FLOORS = """{"cohort": 3, "survivors": 2, "colluders": 0.0}"""

private fun json(vararg fields: Pair<String, Any>): JsonObject = JsonObject().apply {
    for ((name, value) in fields) when (value) {
        is JsonObject -> add(name, value)
        is JsonArray -> add(name, value)
        is Int -> addProperty(name, value)
        else -> addProperty(name, value.toString())
    }
}

private fun listed(texts: List<String>) = JsonArray().apply { texts.forEach(::add) }

private fun objects(all: List<JsonObject>) = JsonArray().apply { all.forEach(::add) }

private val grid = SecaggGrid(
    listOf(TensorForm("w", "<f4", listOf(2uL))),
    """{"clip": 4.0, "metrics": [{"name": "loss", "low": 0.0, "high": 10.0}], "valueBits": 20, "weightMax": 10}""",
)

private val terms = json(
    "run" to "7", "round" to "3", "plan" to "01".repeat(32), "degree" to 2, "threshold" to 2, "minSurvivors" to 2,
    "bits" to parseString(grid.modulus(3uL, 0uL)).asJsonObject["bits"].asInt, "length" to grid.length(),
).toString()

/** Three nodes that have shared their keys. */
private class Cohort {
    val digest = secaggTermsDigest(terms)
    val keys = NODES.associateWith { SigningKey.ofPkcs8(KeyPairGenerator.getInstance("Ed25519").generateKeyPair().private.encoded) }
    val clients = NODES.associateWith { SecaggClient.advertise(it, terms, FLOORS, keys.getValue(it), 2uL * NOW) }
    val adverts = objects(NODES.map {
        json(
            "advert" to parseString(clients.getValue(it).advert()).asJsonObject,
            "subject" to "CN=$it", "signingKey" to keys.getValue(it).publicPem(),
        )
    })
    val answers = NODES.associateWith {
        parseString(clients.getValue(it).shareKeys(json("terms" to digest, "adverts" to adverts).toString(), NOW)).asJsonObject
    }

    fun delivery(to: ULong): JsonObject {
        val shares = answers.flatMap { (node, answer) ->
            answer["shares"].asJsonArray.map { it.asJsonObject }.filter { it["peer"].asString == "$to" }
                .map { json("peer" to node, "sealed" to it["sealed"].asString) }
        }
        return json("terms" to digest, "model" to MODEL, "shares" to objects(shares))
    }

    fun mask(node: ULong, delivery: JsonObject = delivery(node)): ByteArray =
        clients.getValue(node).maskInput(delivery.toString(), grid, listOf(bytesOf(1f, -1f)), listOf(1.0), 1uL)
}

private fun refusal(work: () -> Unit): String =
    failure(work).let { if (it.code == "SECAGG_REFUSED") it.detail.getValue("reason") else it.code }

class SecaggTest {
    @Test
    fun aNodeGoesThroughAWholeRound() {
        val cohort = Cohort()
        val survivors = NODES.take(2)
        val length = (grid.length().toInt() * parseString(terms).asJsonObject["bits"].asInt + 7) / 8
        for (node in survivors) assertEquals(length, cohort.mask(node).size)
        val list = listed(survivors.map(ULong::toString))
        val confirmations = survivors.map {
            val request = json("terms" to cohort.digest, "survivors" to list).toString()
            parseString(cohort.clients.getValue(it).confirmSurvivors(request, cohort.keys.getValue(it))).asJsonObject
        }
        val request = json(
            "terms" to cohort.digest, "survivors" to list, "dropped" to listed(listOf("${NODES[2]}")),
            "confirmations" to objects(confirmations),
        ).toString()
        for (node in survivors) {
            val opened = parseString(cohort.clients.getValue(node).unmask(request)).asJsonObject
            val owners = { kind: String -> opened[kind].asJsonArray.map { it.asJsonObject["of"].asString }.toSet() }
            assertEquals((survivors - node).map(ULong::toString).toSet(), owners("seeds") - "$node")
            assertEquals(setOf("${NODES[2]}"), owners("keys"))
            assertEquals(4.toUByte(), cohort.clients.getValue(node).stage())
        }
    }

    @Test
    fun aNodeRefusesByNameAndComesBackFromItsJournal() {
        val cohort = Cohort()
        val client = cohort.clients.getValue(1uL)
        val restored = SecaggClient.restore(client.save())
        assertEquals(1.toUByte(), restored.stage())
        assertEquals("STATE_LOST", refusal { SecaggClient.restore(client.save().drop(1).toByteArray()) })
        val twice = cohort.delivery(1uL).apply { get("shares").asJsonArray.let { it.addAll(it.deepCopy()) } }
        assertEquals("SHARE_TWICE", refusal { cohort.mask(1uL, twice) })
        assertNull(client.stage())
        assertEquals("SHARE_TWICE", client.ended())
        restored.abort()
        assertEquals("ENDED", restored.ended())
    }

    @Test
    fun maskedVectorsOfTheSameUpdateAreNotAlike() {
        val cohort = Cohort()
        val vectors = NODES.map { cohort.mask(it) }
        assertEquals(3, vectors.map(ByteArray::toList).toSet().size)
    }

    @Test
    fun aKeyThatIsNoneIsRefused() {
        assertEquals("SIGNATURE_KEY", failure { SigningKey.ofPkcs8(byteArrayOf(1, 2, 3)) }.code)
    }
}
